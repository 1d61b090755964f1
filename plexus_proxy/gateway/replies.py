"""Replies that are not an upstream's answer: errors in the client's own format."""

import math
from collections.abc import Mapping

import msgspec
from aiohttp import web

from plexus_proxy.errors import (
    MethodNotAllowed,
    NotFound,
    PlexusError,
    Refused,
    SlowRequest,
    TooLarge,
)
from plexus_proxy.formats.format import ClientFormat, Format
from plexus_proxy.gateway.exchange import new_request_id
from plexus_proxy.gateway.headers import from_provider

REQUEST_ID = web.RequestKey("request_id", str)
_OUR_FAULT_STATUSES = (401, 402, 403)
"""They are about the gateway's own account, and a client would take them for its own."""


async def stamp(request: web.BaseRequest, response: web.StreamResponse) -> None:
    """on_response_prepare: every response, whoever made it, carries x-request-id."""
    headers = response.headers
    headers["x-request-id"] = request_id_of(request)
    if request.path.startswith("/v1"):  # browser clients; the credential is never a cookie here
        headers["access-control-allow-origin"] = "*"
        headers["access-control-expose-headers"] = "*"


def request_id_of(request: web.BaseRequest) -> str:
    """The id of this request, minted at first use."""
    known = request.get(REQUEST_ID)
    if known is None:
        known = request[REQUEST_ID] = new_request_id()
    return known


def error_response(
    fmt: ClientFormat, error: PlexusError, request_id: str, *, same_format: bool = False
) -> web.Response:
    """`error` as the API of `fmt` would say it.

    A refusal by a provider of the same format is relayed in the provider's own words, status and
    safe headers, unless it is about the gateway's own credential or is no JSON object. When to come
    back is a header in any case, wherever the provider has said it.
    """
    headers: dict[str, str] = {}
    if isinstance(error, Refused):
        headers = from_provider(error.headers)
        headers.pop("content-type", None)
    if error.retry_after_s is not None:  # bounded, and of all that was said what counts
        headers["retry-after"] = str(math.ceil(error.retry_after_s))
    if same_format and isinstance(error, Refused) and _is_relayable(error):
        return web.Response(
            status=error.upstream_status,
            body=error.body,
            headers={**headers, "content-type": "application/json"},
        )
    status, body = fmt.write_error(error, request_id)
    if isinstance(error, MethodNotAllowed):
        headers["allow"] = ", ".join(error.allowed)
    response = web.Response(
        status=status, body=body, headers={**headers, "content-type": "application/json"}
    )
    if isinstance(error, TooLarge | SlowRequest):
        response.force_close()  # what is left of the body will not be read
    return response


def _is_relayable(error: Refused) -> bool:
    if error.in_stream or error.of_credential or error.upstream_status < 400:
        return False
    if error.upstream_status in _OUR_FAULT_STATUSES:
        return False
    if error.upstream_status == 400 and error.cause == "quota":
        return False  # the client would believe its request to be wrong
    try:
        return isinstance(msgspec.json.decode(error.body), dict)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False


def format_of_path(path: str, headers: Mapping[str, str], formats: Mapping[str, Format]) -> Format:
    """Whose error shape a request to an unknown path or with a wrong method expects."""
    if path.startswith(("/v1beta/", "/v1alpha/")) or ":" in path or "x-goog-api-key" in headers:
        return formats["gemini"]
    if path.startswith("/v1/messages") or "anthropic-version" in headers:
        return formats["messages"]
    return formats["chat"]


def unknown_path(request: web.Request, formats: Mapping[str, Format]) -> web.Response:
    """404: below /v1 in the client's format, elsewhere as the base release says it."""
    if not request.path.startswith("/v1"):
        return web.json_response({"error": "Not Found"}, status=404)
    fmt = format_of_path(request.path, request.headers, formats)
    error = NotFound(f"Unknown path: {request.method} {request.path}")
    return error_response(fmt, error, request_id_of(request))


def wrong_method(request: web.Request, fmt: ClientFormat, allowed: tuple[str, ...]) -> web.Response:
    """405 in the client's format."""
    error = MethodNotAllowed(
        f"Method {request.method} is not allowed here; use {' or '.join(allowed)}.",
        allowed=allowed,
    )
    return error_response(fmt, error, request_id_of(request))


def no_websocket(request: web.Request, fmt: ClientFormat) -> web.Response:
    """426, on which clients that try a WebSocket first go on with HTTP at once."""
    error = MethodNotAllowed("WebSockets are not served here; use POST.", allowed=("POST",))
    response = error_response(fmt, error, request_id_of(request))
    response.set_status(426)
    response.headers["upgrade"] = "HTTP/1.1"
    return response
