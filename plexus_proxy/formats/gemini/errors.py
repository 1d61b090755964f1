"""Errors of the Gemini API. Source: Gemini API reference, "Errors"; google.rpc.Code."""

import math
from collections.abc import Mapping
from typing import NamedTuple

import msgspec
from msgspec import Struct

from plexus_proxy.errors import KIND_STATUS, Kind, PlexusError, Refused
from plexus_proxy.formats.refusals import read_refusal


class _Said(NamedTuple):
    status: str
    code: int | None = None
    """Where the HTTP status differs from KIND_STATUS."""


_SAID: dict[Kind, _Said] = {
    "bad_request": _Said("INVALID_ARGUMENT"),
    "context_too_long": _Said("INVALID_ARGUMENT"),
    "auth": _Said("UNAUTHENTICATED"),
    "billing": _Said("RESOURCE_EXHAUSTED", 429),
    "permission": _Said("PERMISSION_DENIED"),
    "not_found": _Said("NOT_FOUND"),
    "method_not_allowed": _Said("INVALID_ARGUMENT"),
    "request_timeout": _Said("DEADLINE_EXCEEDED"),
    "too_large": _Said("INVALID_ARGUMENT"),
    "unsupported_media": _Said("INVALID_ARGUMENT"),
    "rate_limit": _Said("RESOURCE_EXHAUSTED"),
    "overloaded": _Said("UNAVAILABLE"),
    "timeout": _Said("DEADLINE_EXCEEDED"),
    "upstream_broken": _Said("UNAVAILABLE", 503),
    "content_policy": _Said("INVALID_ARGUMENT"),
    "internal": _Said("INTERNAL"),
}
_TOO_LONG = "exceeds the maximum number of tokens"
"""Words that clients of this API look for before they shorten a conversation."""


class RetryInfo(
    Struct, frozen=True, tag="type.googleapis.com/google.rpc.RetryInfo", tag_field="@type"
):
    retry_delay: str = msgspec.field(name="retryDelay")


class Error(Struct, frozen=True, omit_defaults=True):
    code: int
    message: str
    status: str
    details: tuple[RetryInfo, ...] = ()


class ErrorBody(Struct, frozen=True):
    error: Error


_encode = msgspec.json.Encoder().encode


def read_error(
    status: int, headers: Mapping[str, str], body: bytes, *, in_stream: bool = False
) -> Refused:
    """See Format.read_error."""
    return read_refusal(status, headers, body, in_stream=in_stream)


def error_body(error: PlexusError) -> ErrorBody:
    """The body of an error answer, which is also what an error chunk of a stream holds."""
    said = _SAID[error.kind]
    message = error.told
    if error.kind == "context_too_long" and _TOO_LONG not in message.lower():
        message = f"The input token count {_TOO_LONG} allowed: {message}"
    delay_s = error.retry_after_s
    details = () if delay_s is None else (RetryInfo(f"{math.ceil(delay_s)}s"),)
    return ErrorBody(Error(said.code or KIND_STATUS[error.kind], message, said.status, details))


def write_error(error: PlexusError, request_id: str) -> tuple[int, bytes]:
    """See Format.write_error. The request id travels in a header only."""
    body = error_body(error)
    return body.error.code, _encode(body)
