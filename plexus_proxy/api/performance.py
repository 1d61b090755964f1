"""/v0/management/performance and /v0/management/cache: how fast targets are, how caches are hit."""

import time

from aiohttp import web
from msgspec import Struct

from plexus_proxy.api.auth import admin_only
from plexus_proxy.api.replies import json_response, wrong_method
from plexus_proxy.db.database import DATABASE
from plexus_proxy.manage.performance import (
    CacheUse,
    cache_use,
    read_targets,
    read_targets_to_clear,
)
from plexus_proxy.usage.stats import STATISTICS
from plexus_proxy.usage.stats_store import Performance, StatisticsStore

_PERFORMANCE = "/v0/management/performance"
_CACHE = "/v0/management/cache"


class PerformanceView(Struct, frozen=True, kw_only=True):
    """One target, in the field names of the base release."""

    provider: str
    model: str
    avg_ttft_ms: float | None
    min_ttft_ms: float | None
    max_ttft_ms: float | None
    avg_tokens_per_sec: float | None
    min_tokens_per_sec: float | None
    max_tokens_per_sec: float | None
    avg_e2e_tokens_per_sec: float | None
    sample_count: int
    last_updated: int


class CacheView(Struct, frozen=True, kw_only=True, rename="camel"):
    """One alias."""

    alias: str
    requests: int
    input_tokens: int
    cached_tokens: int
    cache_write_tokens: int
    share: float | None


class _Deleted(Struct, frozen=True):
    success: bool
    deleted: int


async def list_performance(request: web.Request) -> web.Response:
    """GET: all targets, or those named."""
    targets = read_targets(request.query)
    found = await _store(request).fetch_performance(targets.provider, targets.model)
    return json_response([_performance(each) for each in found])


async def clear_performance(request: web.Request) -> web.Response:
    """DELETE: forget the samples of all targets, or of those named, in all processes."""
    targets = read_targets_to_clear(request.query)
    deleted = await request.app[STATISTICS].clear(targets.provider, targets.model)
    return json_response(_Deleted(success=True, deleted=deleted))


async def list_cache_use(request: web.Request) -> web.Response:
    """GET: by alias, the busiest first."""
    now_ms = time.time_ns() // 1_000_000
    found = await cache_use(_store(request), request.query, now_ms)
    return json_response([_cache(each) for each in found])


def routes() -> list[web.RouteDef]:
    return [
        web.get(_PERFORMANCE, admin_only(list_performance)),
        web.delete(_PERFORMANCE, admin_only(clear_performance)),
        web.route("*", _PERFORMANCE, wrong_method("GET", "HEAD", "DELETE")),
        web.get(_CACHE, admin_only(list_cache_use)),
        web.route("*", _CACHE, wrong_method("GET", "HEAD")),
    ]


def _performance(found: Performance) -> PerformanceView:
    return PerformanceView(
        provider=found.provider,
        model=found.model,
        avg_ttft_ms=found.avg_ttft_ms,
        min_ttft_ms=found.min_ttft_ms,
        max_ttft_ms=found.max_ttft_ms,
        avg_tokens_per_sec=found.avg_tokens_per_s,
        min_tokens_per_sec=found.min_tokens_per_s,
        max_tokens_per_sec=found.max_tokens_per_s,
        avg_e2e_tokens_per_sec=found.avg_e2e_tokens_per_s,
        sample_count=found.sample_count,
        last_updated=found.last_updated_ms,
    )


def _cache(use: CacheUse) -> CacheView:
    return CacheView(
        alias=use.alias,
        requests=use.requests,
        input_tokens=use.input_tokens,
        cached_tokens=use.cached_tokens,
        cache_write_tokens=use.cache_write_tokens,
        share=use.share,
    )


def _store(request: web.Request) -> StatisticsStore:
    return StatisticsStore(request.app[DATABASE])
