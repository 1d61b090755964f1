"""/v0/management/cooldowns: which targets are left alone; /v0/management/concurrency."""

import time

from aiohttp import web
from msgspec import Struct

from plexus_proxy.api.auth import admin_only
from plexus_proxy.api.replies import json_response, wrong_method
from plexus_proxy.config.store import CONFIG
from plexus_proxy.limits.concurrency import PLACES
from plexus_proxy.limits.cooldown_store import COOLDOWNS
from plexus_proxy.limits.cooldowns import Cooldown
from plexus_proxy.manage.cooldowns import active_cooldowns, clear_cooldowns, take_out

_COOLDOWNS = "/v0/management/cooldowns"
_PROVIDER = _COOLDOWNS + "/{provider:.+}"
_CONCURRENCY = "/v0/management/concurrency"


class CooldownView(Struct, frozen=True, kw_only=True, rename="camel"):
    """The first four in the field names of the base release. Instants are epoch milliseconds."""

    provider: str
    model: str
    """Empty: all models of the provider."""
    expiry: int
    time_remaining_ms: int
    since: int
    hard: bool
    cause: str
    source: str
    failures: int
    reason: str
    """What the provider said, in short."""


class _Cleared(Struct, frozen=True):
    success: bool
    cleared: int


class _Place(Struct, frozen=True):
    provider: str
    model: str
    requests: int


class _Concurrency(Struct, frozen=True):
    active: list[_Place]
    waiting: int


async def list_active(request: web.Request) -> web.Response:
    """GET: what cools down now."""
    now_ms = _now_ms()
    config = request.app[CONFIG].current.config
    found = active_cooldowns(request.app[COOLDOWNS], config, now_ms)
    return json_response([view(each, now_ms) for each in found])


async def clear(request: web.Request) -> web.Response:
    """DELETE: all, those of a provider, or one."""
    provider = request.match_info.get("provider")
    cleared = clear_cooldowns(request.app[COOLDOWNS], provider, request.query)
    return json_response(_Cleared(success=True, cleared=cleared))


async def begin(request: web.Request) -> web.Response:
    """POST: the operator takes a provider or a model out."""
    now_ms = _now_ms()
    made = take_out(
        request.app[COOLDOWNS],
        request.app[CONFIG].current.config,
        request.match_info["provider"],
        request.query,
        await request.read(),
        now_ms,
    )
    return json_response(view(made, now_ms))


async def concurrency(request: web.Request) -> web.Response:
    """GET: requests at each target and in line, of this process."""
    places = request.app[PLACES]
    active = [_Place(*key, count) for key, count in sorted(places.active().items())]
    return json_response(_Concurrency(active, places.waiting))


def routes() -> list[web.RouteDef]:
    return [
        web.get(_COOLDOWNS, admin_only(list_active)),
        web.delete(_COOLDOWNS, admin_only(clear)),
        web.route("*", _COOLDOWNS, wrong_method("GET", "HEAD", "DELETE")),
        web.delete(_PROVIDER, admin_only(clear)),
        web.post(_PROVIDER, admin_only(begin)),
        web.route("*", _PROVIDER, wrong_method("POST", "DELETE")),
        web.get(_CONCURRENCY, admin_only(concurrency)),
        web.route("*", _CONCURRENCY, wrong_method("GET", "HEAD")),
    ]


def view(entry: Cooldown, now_ms: int) -> CooldownView:
    return CooldownView(
        provider=entry.provider,
        model=entry.model,
        expiry=entry.until_ms,
        time_remaining_ms=max(0, entry.until_ms - now_ms),
        since=entry.since_ms,
        hard=entry.is_hard(now_ms),
        cause=entry.cause,
        source=entry.source,
        failures=entry.failures,
        reason=entry.message,
    )


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
