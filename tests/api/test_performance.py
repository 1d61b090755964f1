"""GET and DELETE /v0/management/performance, GET /v0/management/cache, on both databases."""

import time

import pytest
from api.management import Api
from support.rows import STARTED_AT_MS, served_row

from plexus_proxy.usage.record import UsageRow
from plexus_proxy.usage.stats import STATISTICS

PERFORMANCE = "/v0/management/performance"
CACHE = "/v0/management/cache"
DAY_MS = 86_400_000


def stream(ttft_ms: float, at_ms: int = STARTED_AT_MS, provider: str = "a") -> UsageRow:
    """100 tokens in the second after `ttft_ms`, which began at `at_ms`."""
    return served_row(
        provider,
        streamed=True,
        ttft_ms=ttft_ms,
        duration_ms=round(ttft_ms) + 1000,
        started_at_ms=at_ms,
    )


async def test_averages_of_the_last_ten_samples_of_each_target(api: Api) -> None:
    await api.insert(
        *(stream(1000 + number, STARTED_AT_MS + number) for number in range(12)),
        served_row("b", duration_ms=500, started_at_ms=STARTED_AT_MS + 7),
        served_row("c", status="error"),
    )
    reply = await api.call("GET", PERFORMANCE)
    assert reply.status == 200
    one, two = reply.json()
    ended_ms = STARTED_AT_MS + 1200
    speeds = [100_000 / (2000 + number) for number in range(2, 12)]
    assert one == {
        "provider": "a",
        "model": "m",
        "avg_ttft_ms": 1006.5,
        "min_ttft_ms": 1002,
        "max_ttft_ms": 1011,
        "avg_tokens_per_sec": 100,
        "min_tokens_per_sec": 100,
        "max_tokens_per_sec": 100,
        "avg_e2e_tokens_per_sec": pytest.approx(sum(speeds) / 10),
        "sample_count": 10,
        "last_updated": ended_ms + 11,
    }
    assert two == {
        "provider": "b",
        "model": "m",
        "avg_ttft_ms": None,
        "min_ttft_ms": None,
        "max_ttft_ms": None,
        "avg_tokens_per_sec": 200,
        "min_tokens_per_sec": 200,
        "max_tokens_per_sec": 200,
        "avg_e2e_tokens_per_sec": 200,
        "sample_count": 1,
        "last_updated": ended_ms + 7,
    }


@pytest.mark.parametrize(
    ("params", "providers"),
    [
        ({}, ["a", "a-2", "b"]),
        ({"provider": "a"}, ["a"]),
        ({"provider": "", "model": "m"}, ["a", "a-2", "b"]),
        ({"provider": "b", "model": "other"}, []),
    ],
)
async def test_targets_are_found_by_their_exact_names(
    api: Api, params: dict[str, str], providers: list[str]
) -> None:
    await api.insert(*(stream(5, provider=each) for each in ("b", "a", "a-2")))
    reply = await api.call("GET", PERFORMANCE, key="", **params)
    assert [each["provider"] for each in reply.json()] == providers


async def test_cleared_targets_are_unknown_again(api: Api) -> None:
    now_ms = time.time_ns() // 1_000_000
    rows = [stream(5, now_ms, each) for each in ("a", "a", "b")]
    await api.insert(*rows)
    statistics = api.gateway.app[STATISTICS]
    await statistics.read(now_ms)
    reply = await api.call("DELETE", PERFORMANCE, key="", provider="a")
    assert (reply.status, reply.json()) == (200, {"success": True, "deleted": 2})
    left = (await api.call("GET", PERFORMANCE)).json()
    assert [each["provider"] for each in left] == ["b"]
    cleared, kept = statistics.measured(("a", "m")), statistics.measured(("b", "m"))
    assert cleared is not None
    assert (cleared.ttft_ms, cleared.requests_24h) == (None, 2)
    assert kept is not None
    assert kept.ttft_ms == 5
    assert (await api.call("DELETE", PERFORMANCE)).json()["deleted"] == 1
    assert (await api.call("GET", PERFORMANCE)).json() == []


@pytest.mark.parametrize("params", [{"providr": "a"}, {"provider": ""}])
async def test_a_typing_error_clears_nothing(api: Api, params: dict[str, str]) -> None:
    await api.insert(stream(5))
    assert (await api.call("DELETE", PERFORMANCE, key="", **params)).status == 400
    assert len((await api.call("GET", PERFORMANCE)).json()) == 1


async def test_cache_use_by_alias(api: Api) -> None:
    now_ms = time.time_ns() // 1_000_000
    hit = {"input_tokens": 100, "cache_read_tokens": 300, "cache_write_tokens": 0}
    await api.insert(
        served_row(started_at_ms=now_ms, **hit),
        served_row("b", started_at_ms=now_ms, **{**hit, "cache_write_tokens": 200}),
        served_row(started_at_ms=now_ms - 3 * DAY_MS, canonical_model="quick", input_tokens=1000),
        served_row(started_at_ms=now_ms - 20 * DAY_MS, canonical_model="old", input_tokens=50),
        served_row(started_at_ms=now_ms, canonical_model="none", input_tokens=0, status="error"),
    )
    quick = {
        "alias": "quick",
        "requests": 2,
        "inputTokens": 200,
        "cachedTokens": 600,
        "cacheWriteTokens": 200,
        "share": 0.6,
    }
    zero = {"inputTokens": 0, "cachedTokens": 0, "cacheWriteTokens": 0}
    none = {"alias": "none", "requests": 1, **zero, "share": None}
    week = {**quick, "requests": 3, "inputTokens": 1200, "share": 0.3}
    old = {"alias": "old", "requests": 1, **zero, "inputTokens": 50, "share": 0}
    for span, expected in (
        ("", [quick, none]),
        ("day", [quick, none]),
        ("week", [week, none]),
        ("month", [week, none, old]),
    ):
        reply = await api.call("GET", CACHE, key="", range=span)
        assert (reply.status, reply.json()) == (200, expected)


async def test_other_ranges_are_refused(api: Api) -> None:
    reply = await api.call("GET", CACHE, key="", range="year")
    assert reply.status == 400
    assert "range" in reply.json()["error"]["message"]


@pytest.mark.parametrize("key", [None, "wrong"])
@pytest.mark.parametrize(
    ("method", "path"), [("GET", PERFORMANCE), ("DELETE", PERFORMANCE), ("GET", CACHE)]
)
async def test_only_the_operator_may(api: Api, method: str, path: str, key: str | None) -> None:
    await api.insert(stream(5))
    assert (await api.call(method, path, key=key)).status == 401
    assert len((await api.call("GET", PERFORMANCE)).json()) == 1


@pytest.mark.parametrize(
    ("path", "allowed"), [(PERFORMANCE, "GET, HEAD, DELETE"), (CACHE, "GET, HEAD")]
)
async def test_other_methods_are_refused(api: Api, path: str, allowed: str) -> None:
    reply = await api.call("POST", path)
    assert (reply.status, reply.headers["allow"]) == (405, allowed)
