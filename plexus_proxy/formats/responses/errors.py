"""Errors of the Responses API. HTTP errors are those of Chat Completions; a stream has its own.
Source: OpenAI API reference, "Streaming events", response.failed and error."""

import msgspec
from msgspec import Struct

from plexus_proxy.errors import Kind, PlexusError
from plexus_proxy.formats.chat.errors import error_body

_CODES: dict[Kind, str] = {
    "rate_limit": "rate_limit_exceeded",
    "billing": "insufficient_quota",
    "context_too_long": "context_length_exceeded",
    "bad_request": "invalid_prompt",
    "content_policy": "invalid_prompt",
    "overloaded": "server_is_overloaded",
}
_DEFAULT = "server_error"

_encode = msgspec.json.Encoder().encode


class ResponseError(Struct, frozen=True):
    """`error` of a failed response."""

    code: str
    message: str


class _Numbered(Struct, frozen=True):
    sequence_number: int = -1


class _ErrorEvent(Struct, frozen=True, tag="error"):
    code: str | None
    message: str
    param: str | None
    sequence_number: int


_NUMBERED = msgspec.json.Decoder(_Numbered)


def response_error(error: PlexusError) -> ResponseError:
    return ResponseError(_CODES.get(error.kind, _DEFAULT), error.told)


def stream_error(error: PlexusError, last: bytes) -> bytes:
    """See Format.stream_error: an `error` event, which needs no response around it."""
    try:
        number = _NUMBERED.decode(last).sequence_number + 1
    except (msgspec.DecodeError, UnicodeDecodeError):
        number = 0
    said = error_body(error).error
    event = _ErrorEvent(said.code, said.message, said.param, number)
    return b"event: error\ndata: %b\n\n" % _encode(event)
