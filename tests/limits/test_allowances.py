"""What answers say of a provider's allowance."""

import pytest

from plexus_proxy.limits.allowances import Allowances

NOW_MS = 1_790_000_000_000
NOW_S = NOW_MS // 1000
TOLD = {
    "x-ratelimit-limit-tokens": "100",
    "x-ratelimit-remaining-tokens": "50",
    "x-ratelimit-reset-tokens": "20s",
}


@pytest.mark.parametrize(
    ("headers", "share_left", "in_s"),
    [
        (
            {
                "x-ratelimit-limit-requests": "60",
                "x-ratelimit-remaining-requests": "15",
                "x-ratelimit-reset-requests": "1m30s",
            },
            0.25,
            90,
        ),
        (
            {
                "anthropic-ratelimit-tokens-limit": "1000",
                "anthropic-ratelimit-tokens-remaining": "900",
                "anthropic-ratelimit-tokens-reset": "2026-09-21T14:13:30Z",
                "anthropic-ratelimit-requests-limit": "50",
                "anthropic-ratelimit-requests-remaining": "10",
                "anthropic-ratelimit-requests-reset": str(NOW_S + 40),
            },
            0.2,
            40,
        ),
        (
            {
                "anthropic-ratelimit-unified-status": "allowed",
                "anthropic-ratelimit-unified-5h-utilization": "0.1",
                "anthropic-ratelimit-unified-5h-reset": str(NOW_S + 3600),
                "anthropic-ratelimit-unified-7d-utilization": "0.75",
                "anthropic-ratelimit-unified-7d-reset": str(NOW_S + 86_400),
            },
            0.25,
            86_400,
        ),
    ],
)
def test_the_window_with_least_left_counts(
    headers: dict[str, str], share_left: float, in_s: int
) -> None:
    allowances = Allowances()
    allowances.note("p", headers, NOW_MS)
    found = allowances.of("p", NOW_MS)
    assert found is not None
    assert found.share_left == pytest.approx(share_left)
    assert found.resets_at_ms == NOW_MS + in_s * 1000
    assert allowances.of("other", NOW_MS) is None


LONG = {
    "x-ratelimit-limit-requests": "100",
    "x-ratelimit-remaining-requests": "70",
    "x-ratelimit-reset-requests": "60s",
}


def test_a_window_that_has_begun_anew_has_all_of_it_left() -> None:
    allowances = Allowances()
    allowances.note("p", TOLD, NOW_MS)
    allowances.note("q", TOLD | LONG, NOW_MS)

    def left(provider: str, after_s: int) -> float | None:
        found = allowances.of(provider, NOW_MS + after_s * 1000)
        return None if found is None else found.share_left

    assert [left("p", after_s) for after_s in (19, 21, 3600, 3601)] == [0.5, 1, 1, None]
    assert [left("q", after_s) for after_s in (19, 21, 61)] == [0.5, 0.7, 1]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"x-ratelimit-remaining-requests": "5"},
        {
            "x-ratelimit-limit-requests": "0",
            "x-ratelimit-remaining-requests": "-1",
            "x-ratelimit-reset-requests": "soon",
        },
        {"anthropic-ratelimit-unified-status": "allowed"},
    ],
)
def test_headers_that_say_nothing_change_nothing(headers: dict[str, str]) -> None:
    allowances = Allowances()
    allowances.note("p", headers, NOW_MS)
    assert allowances.of("p", NOW_MS) is None
    allowances.note("p", TOLD, NOW_MS)
    assert allowances.of("p", NOW_MS) is not None
    allowances.note("p", headers, NOW_MS + 1)
    found = allowances.of("p", NOW_MS + 2)
    assert found is not None
    assert (found.share_left, found.told_ms) == (0.5, NOW_MS)
