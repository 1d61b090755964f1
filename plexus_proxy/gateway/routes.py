"""The client-facing paths of the corridor."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from functools import partial
from random import Random

from aiohttp import web

from plexus_proxy import tasks
from plexus_proxy.config.store import CONFIG
from plexus_proxy.demo.server import DEMO
from plexus_proxy.errors import PlexusError
from plexus_proxy.formats.format import IN_BODY, Asked, ClientFormat, Format
from plexus_proxy.formats.registry import CLIENT_FORMATS, FORMATS
from plexus_proxy.gateway import models
from plexus_proxy.gateway.affinity import Affinity
from plexus_proxy.gateway.counting import Counting
from plexus_proxy.gateway.dispatch import Dispatcher
from plexus_proxy.gateway.handler import Gateway
from plexus_proxy.gateway.prepare import Preparer
from plexus_proxy.gateway.replies import (
    error_response,
    no_websocket,
    request_id_of,
    stamp,
    unknown_path,
    wrong_method,
)
from plexus_proxy.gateway.view import LiveView
from plexus_proxy.limits.allowances import Allowances
from plexus_proxy.limits.concurrency import PLACES
from plexus_proxy.limits.cooldown_store import COOLDOWNS
from plexus_proxy.routing.bindings import BINDINGS
from plexus_proxy.routing.router import Router
from plexus_proxy.tokens.counter import token_counter
from plexus_proxy.upstream.http import http_upstream
from plexus_proxy.upstream.stall import SWEEP_S, StallWatch
from plexus_proxy.usage.catalogue import shipped
from plexus_proxy.usage.recorder import RECORDER
from plexus_proxy.usage.stats import STATISTICS
from plexus_proxy.vault.reasoning import VAULT

GATEWAY = web.AppKey("gateway", Gateway)
COUNTING = web.AppKey("counting", Counting)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_CLIENT_PATHS = {
    "/v1/chat/completions": "chat",
    "/v1/completions": "completions",
    "/v1/messages": "messages",
    "/v1/responses": "responses",
}
_COUNTING_PATHS = {
    "/v1/messages/count_tokens": "messages",
    "/v1/responses/input_tokens": "responses",
}
_GEMINI_VERSIONS = ("v1beta", "v1", "v1alpha")
_VERBS = {"generateContent": False, "streamGenerateContent": True}
"""Verb of a Gemini path → whether it streams."""
_COUNT_VERB = "countTokens"
_CORS = {
    "access-control-allow-methods": "GET, POST, PUT, DELETE, OPTIONS",
    "access-control-allow-headers": (
        "Content-Type, Authorization, x-api-key, x-admin-key, x-goog-api-key, "
        "anthropic-version, anthropic-beta, x-client-request-id"
    ),
    "access-control-max-age": "86400",
}


async def gateway(app: web.Application) -> AsyncGenerator[None]:
    """cleanup_ctx: the Gateway with its upstream and the sweep over open streams."""
    watch = StallWatch()
    vault = app[VAULT]

    async def sweep() -> None:
        watch.sweep(asyncio.get_running_loop().time())

    app[models.MODELS] = models.ModelLists(shipped())
    async with (
        http_upstream() as upstream,
        token_counter() as counter,
        tasks.every(SWEEP_S, sweep, name="stall sweep"),
    ):
        allowances = Allowances()
        cooldowns, statistics = app[COOLDOWNS], app[STATISTICS]
        router, view = Router(FORMATS), LiveView(app[CONFIG], cooldowns, allowances, statistics)
        counting = Counting(app[CONFIG], upstream, counter, FORMATS, router, view, Random())
        app[COUNTING] = counting
        app[RECORDER].on_row.append(counting.learn)
        preparer = Preparer(FORMATS, CLIENT_FORMATS, vault, app[DEMO].base_url)
        dispatcher = Dispatcher(
            upstream, FORMATS, preparer, cooldowns, allowances, app[PLACES], Random()
        )
        affinity = Affinity(app[BINDINGS], statistics)
        app[GATEWAY] = Gateway(
            app[CONFIG], dispatcher, app[RECORDER], watch, vault, router, view, affinity, Random()
        )
        yield


def setup(app: web.Application) -> None:
    """Wire the inference paths; every other path is a 404 in the caller's own format."""
    app.on_response_prepare.append(stamp)
    for path, name in _CLIENT_PATHS.items():
        app.router.add_route("*", path, _serving(CLIENT_FORMATS[name]))
    for path, name in _COUNTING_PATHS.items():
        app.router.add_route("*", path, partial(_count, fmt=FORMATS[name]))
    for version in _GEMINI_VERSIONS:
        for collection in ("models", "tunedModels"):  # before the names, which may hold colons too
            path = f"/{version}/{collection}/{{call:.+:.+}}"
            app.router.add_route("*", path, partial(_serve_gemini, collection=collection))
        app.router.add_route("*", f"/{version}/models", _models)
        app.router.add_route("*", f"/{version}/models/{{name:.+}}", _models)


def catch_all(app: web.Application) -> None:
    """Must be wired last: what no other route has taken."""
    app.router.add_route("*", "/{path:.*}", _unknown)


def _serving(fmt: ClientFormat) -> Handler:
    async def serve(request: web.Request) -> web.StreamResponse:
        if request.method != "POST":
            if "websocket" in request.headers.get("upgrade", "").lower():
                return no_websocket(request, fmt)
            return _preflight(request) or wrong_method(request, fmt, ("POST",))
        return await request.app[GATEWAY].serve(request, fmt)

    return serve


async def _count(request: web.Request, fmt: Format) -> web.StreamResponse:
    if request.method != "POST":
        return _preflight(request) or wrong_method(request, fmt, ("POST",))
    return await request.app[COUNTING].serve(request, fmt, IN_BODY)


async def _serve_gemini(request: web.Request, collection: str) -> web.StreamResponse:
    """The model and the verb are in the path; the model may hold slashes and colons."""
    fmt = FORMATS["gemini"]
    if request.method in ("GET", "HEAD") and collection == "models":
        return await _models(request)
    if request.method != "POST":
        return _preflight(request) or wrong_method(request, fmt, ("POST",))
    model, _, verb = request.match_info["call"].rpartition(":")
    if collection == "tunedModels":
        model = f"tunedModels/{model}"
    if verb == _COUNT_VERB:
        return await request.app[COUNTING].serve(request, fmt, Asked(model))
    if verb not in _VERBS:
        return unknown_path(request, FORMATS)
    stream = _VERBS[verb]
    array = stream and request.query.get("alt") != "sse"
    return await request.app[GATEWAY].serve(request, fmt, Asked(model, stream, array))


async def _models(request: web.Request) -> web.StreamResponse:
    """The list of models, or one of them: public, as in the base release."""
    fmt = FORMATS[models.shape_of(request.path, request.headers, request.query)]
    if request.method not in ("GET", "HEAD"):
        return _preflight(request) or wrong_method(request, fmt, ("GET",))
    lists, snapshot = request.app[models.MODELS], request.app[CONFIG].current
    name = models.name_in(request.raw_path)
    try:
        if name:
            found = lists.one(fmt.name, name, snapshot)
        else:
            found = lists.all(fmt.name, request.query, snapshot)
    except PlexusError as error:
        return error_response(fmt, error, request_id_of(request))
    return models.reply(found, request.headers.get("if-none-match"))


async def _unknown(request: web.Request) -> web.StreamResponse:
    if request.path.startswith("/v1/") and (preflight := _preflight(request)):
        return preflight
    return unknown_path(request, FORMATS)


def _preflight(request: web.Request) -> web.Response | None:
    """The answer to a browser's CORS preflight; the headers of §1.1 of the base release."""
    if request.method != "OPTIONS":
        return None
    return web.Response(status=204, headers=_CORS)
