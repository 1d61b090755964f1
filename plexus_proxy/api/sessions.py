"""/v0/management/sessions: which target conversations stay on."""

from aiohttp import web
from msgspec import Struct

from plexus_proxy.api.auth import admin_only
from plexus_proxy.api.replies import json_response, wrong_method
from plexus_proxy.routing.bindings import BINDINGS

_PATH = "/v0/management/sessions"


class _Deleted(Struct, frozen=True):
    success: bool
    deleted: int


async def forget_all(request: web.Request) -> web.Response:
    """DELETE: every conversation is free to go to another target, in all processes."""
    deleted = await request.app[BINDINGS].forget_all()
    return json_response(_Deleted(success=True, deleted=deleted))


def routes() -> list[web.RouteDef]:
    return [
        web.delete(_PATH, admin_only(forget_all)),
        web.route("*", _PATH, wrong_method("DELETE")),
    ]
