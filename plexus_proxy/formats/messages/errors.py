"""Errors of the Messages API. Source: Anthropic API reference, "Errors"."""

from collections.abc import Mapping

import msgspec
from msgspec import Struct

from plexus_proxy.errors import KIND_STATUS, Kind, PlexusError, Refused
from plexus_proxy.formats.refusals import read_refusal

_TYPES: dict[Kind, str] = {
    "bad_request": "invalid_request_error",
    "context_too_long": "invalid_request_error",
    "auth": "authentication_error",
    "billing": "billing_error",
    "permission": "permission_error",
    "not_found": "not_found_error",
    "method_not_allowed": "invalid_request_error",
    "request_timeout": "invalid_request_error",
    "too_large": "request_too_large",
    "unsupported_media": "invalid_request_error",
    "rate_limit": "rate_limit_error",
    "overloaded": "overloaded_error",
    "timeout": "timeout_error",
    "upstream_broken": "api_error",
    "content_policy": "invalid_request_error",
    "internal": "api_error",
}
_OVERLOADED_STATUS = 529
_TOO_LONG = "prompt is too long"
"""Words that clients of this API look for before they shorten a conversation."""


class Error(Struct, frozen=True):
    type: str
    message: str


class ErrorBody(Struct, frozen=True, omit_defaults=True):
    type: str
    error: Error
    request_id: str | None = None


_encode = msgspec.json.Encoder().encode


def read_error(
    status: int, headers: Mapping[str, str], body: bytes, *, in_stream: bool = False
) -> Refused:
    """See Format.read_error."""
    return read_refusal(status, headers, body, in_stream=in_stream)


def error_body(error: PlexusError, request_id: str | None = None) -> ErrorBody:
    """The body of an error answer, which is also the data of an error event."""
    message = error.told
    if error.kind == "context_too_long" and _TOO_LONG not in message.lower():
        message = f"{_TOO_LONG}: {message}"
    return ErrorBody("error", Error(_TYPES[error.kind], message), request_id)


def write_error(error: PlexusError, request_id: str) -> tuple[int, bytes]:
    """See Format.write_error."""
    status = _OVERLOADED_STATUS if error.kind == "overloaded" else KIND_STATUS[error.kind]
    return status, _encode(error_body(error, request_id))
