"""What the operator asks of statistics: how fast targets are, and how often caches are hit.

Parameters come as text, from a query string or a form.
"""

from collections.abc import Mapping

from msgspec import Struct

from plexus_proxy.errors import BadRequest
from plexus_proxy.usage.stats_store import StatisticsStore

_DAY_MS = 86_400_000
_RANGES_MS = {"day": _DAY_MS, "week": 7 * _DAY_MS, "month": 30 * _DAY_MS}


class Targets(Struct, frozen=True, kw_only=True):
    """Which targets are meant, by exact names; None: any."""

    provider: str | None = None
    model: str | None = None


class CacheUse(Struct, frozen=True, kw_only=True):
    """Prompt tokens of an alias. The three kinds are disjoint."""

    alias: str
    requests: int
    input_tokens: int
    cached_tokens: int
    """Read from a cache."""
    cache_write_tokens: int
    share: float | None
    """Of the prompt tokens that were read from a cache (0..1); None if there were none at all."""


def read_targets(params: Mapping[str, str]) -> Targets:
    """`provider` and `model`; an empty value does not filter."""
    return Targets(provider=params.get("provider") or None, model=params.get("model") or None)


def read_targets_to_clear(params: Mapping[str, str]) -> Targets:
    """Like `read_targets`, but strict: a typing error must not clear everything.

    Raises BadRequest for an unknown parameter, and for one that is there and empty.
    """
    for name, value in params.items():
        if name not in Targets.__struct_fields__:
            raise BadRequest(f"Unknown parameter {name}.", param=name)
        if not value:
            raise BadRequest(f"{name} is empty; leave it out to clear all.", param=name)
    return read_targets(params)


async def cache_use(
    store: StatisticsStore, params: Mapping[str, str], now_ms: int
) -> list[CacheUse]:
    """By alias, the busiest first, over the last `range`: day, week or month. Raises BadRequest."""
    length_ms = _RANGES_MS.get(params.get("range") or "day")
    if length_ms is None:
        raise BadRequest("range must be day, week or month.", param="range")
    found: list[CacheUse] = []
    for each in await store.fetch_alias_traffic(now_ms - length_ms):
        prompt = each.input_tokens + each.cache_read_tokens + each.cache_write_tokens
        found.append(
            CacheUse(
                alias=each.alias,
                requests=each.requests,
                input_tokens=each.input_tokens,
                cached_tokens=each.cache_read_tokens,
                cache_write_tokens=each.cache_write_tokens,
                share=each.cache_read_tokens / prompt if prompt else None,
            )
        )
    return found
