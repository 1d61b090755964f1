"""The door to the management API: every handler behind it wants the admin key in `x-admin-key`."""

from aiohttp import web
from msgspec import Struct

from plexus_proxy.api.replies import (
    Handler,
    answering_errors,
    error_response,
    json_response,
    wrong_method,
)
from plexus_proxy.config.store import CONFIG
from plexus_proxy.manage.admin_key import is_admin_key

_PATH = "/v0/management/auth/verify"


class _Identity(Struct, frozen=True):
    ok: bool
    role: str


def admin_only(handler: Handler) -> Handler:
    """`handler`, for holders of the admin key only; 401 without a word about what was wrong."""
    answered = answering_errors(handler)

    async def guarded(request: web.Request) -> web.Response:
        presented = request.headers.get("x-admin-key")
        if not is_admin_key(presented, request.app[CONFIG].current.admin_digest):
            return error_response(401, "Invalid or missing admin key.")
        return await answered(request)

    return guarded


async def verify(request: web.Request) -> web.Response:
    """GET /v0/management/auth/verify: is this the admin key?"""
    return json_response(_Identity(ok=True, role="admin"))


def routes() -> list[web.RouteDef]:
    return [
        web.get(_PATH, admin_only(verify)),
        web.route("*", _PATH, wrong_method("GET", "HEAD")),
    ]
