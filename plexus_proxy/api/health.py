"""What orchestrators and operators ask first: is it alive, is it ready, is the config good."""

import msgspec
from aiohttp import web
from msgspec import structs

from plexus_proxy.api.replies import wrong_method
from plexus_proxy.cluster.cluster import CLUSTER
from plexus_proxy.config.store import CONFIG, Status
from plexus_proxy.db.database import DATABASE, Unavailable
from plexus_proxy.drain import DRAIN

_encode = msgspec.json.Encoder().encode


class ConfigHealth(Status, frozen=True, kw_only=True):
    """The body of GET /health/config: of this process, then of all that share its database."""

    members: int
    """Live processes: workers and replicas."""
    configs: int
    """How many different configs these run on."""


async def health(request: web.Request) -> web.Response:
    """GET /health: the base release's plain `OK`."""
    return web.Response(text="OK")


async def readyz(request: web.Request) -> web.Response:
    """GET /readyz: 503 while draining, or before the database has answered for the first time.

    Not when it is lost later: it is all replicas' database, and none would be left to serve what
    can be served without it."""
    if request.app[DRAIN].draining:
        return web.Response(status=503, text="draining")
    database = request.app[DATABASE]
    if not database.opened:
        try:
            await database.ping()
        except Unavailable:
            return web.Response(status=503, text="database unavailable")
    return web.Response(text="ready")


async def config_health(request: web.Request) -> web.Response:
    """GET /health/config: which version runs, and why the file is not it. Holds no secret."""
    status = request.app[CONFIG].status()
    members = request.app[CLUSTER].members
    body = ConfigHealth(**structs.asdict(status), members=members.count, configs=members.configs())
    return web.Response(
        status=200 if status.state == "ok" else 503,
        body=_encode(body),
        content_type="application/json",
    )


def routes() -> list[web.RouteDef]:
    return [
        route
        for path, handler in (
            ("/health", health),
            ("/healthz", health),
            ("/readyz", readyz),
            ("/health/config", config_health),
        )
        for route in (web.get(path, handler), web.route("*", path, wrong_method("GET", "HEAD")))
    ]
