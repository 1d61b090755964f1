"""What a row says about its target."""

from typing import Any

import pytest
from support.rows import STARTED_AT_MS, served_row

from plexus_proxy.usage.record import AttemptRecord, UsageRow
from plexus_proxy.usage.samples import HOUR_MS, Sums, sample_of, traffic_of


def numbers(row: UsageRow) -> tuple[float | None, float | None, float | None] | None:
    """Time to the first content, speed while generating, speed of the whole."""
    sample = sample_of(row)
    if sample is None:
        return None
    return sample.ttft_ms, sample.tokens_per_s, sample.e2e_tokens_per_s


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        # a stream's time to the first content is no time of generating
        ({"streamed": True, "ttft_ms": 500, "duration_ms": 1500}, (500, 100, 100 / 1.5)),
        # a whole answer has no first content
        ({"ttft_ms": 500, "duration_ms": 1000}, (None, 100, 100)),
        # reasoning is generated too
        ({"duration_ms": 1000, "reasoning_tokens": 300}, (None, 400, 400)),
        # a guess is no measurement
        (
            {"streamed": True, "ttft_ms": 5, "duration_ms": 9, "tokens_estimated": True},
            (5, None, None),
        ),
        ({"duration_ms": 1000, "output_tokens": 0}, (None, None, None)),
        # all at once, or without a clock
        ({"streamed": True, "ttft_ms": 9, "duration_ms": 9}, (9, None, 100_000 / 9)),
        ({"streamed": True, "duration_ms": 1000}, (None, None, 100)),
        ({"duration_ms": None}, (None, None, None)),
        ({"duration_ms": 0}, (None, None, None)),
    ],
)
def test_speed_of_a_successful_attempt(
    changes: dict[str, Any], expected: tuple[float | None, ...]
) -> None:
    assert numbers(served_row(**changes)) == (
        expected if None in expected else pytest.approx(expected)
    )


@pytest.mark.parametrize("status", ["error", "cancelled", "timeout", "stall"])
def test_what_did_not_succeed_is_no_sample(status: str) -> None:
    assert sample_of(served_row(status=status)) is None


@pytest.mark.parametrize("status", ["failed", "cancelled"])
def test_an_attempt_that_did_not_succeed_is_no_sample(status: Any) -> None:
    attempt = AttemptRecord(provider="a", model="m", format="chat", status=status, duration_ms=9)
    assert sample_of(served_row(attempts=(attempt,))) is None
    assert sample_of(served_row(attempts=())) is None


def test_only_the_last_attempt_counts() -> None:
    failed = AttemptRecord(provider="z", model="m", format="chat", status="failed", duration_ms=9)
    row = served_row(duration_ms=1000)
    sample = sample_of(served_row(duration_ms=1000, attempts=(failed, *row.attempts)))
    assert sample is not None
    assert (sample.provider, sample.e2e_tokens_per_s) == ("a", 100)


def test_traffic_is_summed_by_hour_alias_and_target_in_order() -> None:
    hour = STARTED_AT_MS - STARTED_AT_MS % HOUR_MS
    rows = [
        served_row(provider="b", status="error", input_tokens=0, output_tokens=0),
        served_row(reasoning_tokens=5, cache_read_tokens=7, cache_write_tokens=9),
        served_row(),
        served_row(started_at_ms=hour + HOUR_MS),
        served_row(provider=None),
    ]
    assert list(traffic_of(rows).items()) == [
        ((hour, "quick", "a", "m"), Sums(2, 20, 205, 7, 9)),
        ((hour, "quick", "b", "m"), Sums(1)),
        ((hour + HOUR_MS, "quick", "a", "m"), Sums(1, 10, 100)),
    ]


def test_no_row_breaks_the_sums_of_the_others() -> None:
    [sums] = traffic_of([served_row(input_tokens=2**63 - 1, output_tokens=-5)] * 1000).values()
    assert 0 < sums.input_tokens < 2**63
    assert sums.output_tokens == 0
