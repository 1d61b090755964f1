"""The shapes of the management API: JSON bodies, and one shape for every error."""

import logging
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from aiohttp import web
from msgspec import Struct

from plexus_proxy.db.database import Rejected, Unavailable
from plexus_proxy.errors import PlexusError

_log = logging.getLogger(__name__)
_encode = msgspec.json.Encoder().encode

Handler = Callable[[web.Request], Awaitable[web.Response]]


class _Problem(Struct, frozen=True):
    message: str
    type: str
    code: int


class _ErrorBody(Struct, frozen=True):
    error: _Problem


def json_response(body: Any, *, status: int = 200) -> web.Response:
    return web.Response(
        status=status,
        body=_encode(body),
        content_type="application/json",
        headers={"cache-control": "no-store"},
    )


def error_response(status: int, message: str) -> web.Response:
    """`{"error": {"message", "type", "code"}}`, code being the status."""
    return json_response(_ErrorBody(_Problem(message, _type(status), status)), status=status)


def _type(status: int) -> str:
    if status == 401:
        return "auth_error"
    return "invalid_request_error" if status < 500 else "api_error"


def answering_errors(handler: Handler) -> Handler:
    """What `handler` raises as the error shape; what nobody expected is logged and a plain 500."""

    async def answered(request: web.Request) -> web.Response:
        try:
            return await handler(request)
        except PlexusError as error:
            return error_response(error.status, error.message)
        except Unavailable as error:
            _log.warning("%s %s: %s", request.method, request.path, error)
            return error_response(503, "The database is not available.")
        except Rejected:
            return error_response(400, "A value in the request cannot be in the database.")
        except web.HTTPException:
            raise
        except Exception:
            _log.exception("%s %s failed", request.method, request.path)
            return error_response(500, "Internal error.")

    return answered


def wrong_method(*allowed: str) -> Handler:
    """For `web.route("*", …)` after the path's own methods: 405, and which ones there are."""

    async def refuse(request: web.Request) -> web.Response:
        response = error_response(405, f"Method {request.method} is not allowed here.")
        response.headers["allow"] = ", ".join(allowed)
        return response

    return refuse
