"""Errors of the Chat Completions API. Source: OpenAI API reference, "Error codes"."""

from collections.abc import Mapping

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from plexus_proxy.errors import KIND_STATUS, AllAttemptsFailed, Garbled, Kind, PlexusError, Refused
from plexus_proxy.formats.refusals import read_refusal


class _Said(Struct, frozen=True):
    type: str
    code: str | None = None
    status: int | None = None
    """Where it differs from KIND_STATUS."""


_SAID: dict[Kind, _Said] = {
    "bad_request": _Said("invalid_request_error"),
    "context_too_long": _Said("invalid_request_error", "context_length_exceeded"),
    "auth": _Said("authentication_error", "invalid_api_key"),
    "billing": _Said("insufficient_quota", "insufficient_quota", 429),
    "permission": _Said("permission_error"),
    "not_found": _Said("invalid_request_error", "model_not_found"),
    "method_not_allowed": _Said("invalid_request_error", "method_not_allowed"),
    "request_timeout": _Said("invalid_request_error", "request_timeout"),
    "too_large": _Said("invalid_request_error", "request_too_large"),
    "unsupported_media": _Said("invalid_request_error", "unsupported_media_type"),
    "rate_limit": _Said("rate_limit_error", "rate_limit_exceeded"),
    "overloaded": _Said("server_error", "overloaded"),
    "timeout": _Said("server_error", "timeout"),
    "upstream_broken": _Said("server_error", "upstream_error"),
    "content_policy": _Said("invalid_request_error", "content_policy_violation"),
    "internal": _Said("server_error", "internal_error"),
}


class Error(Struct, frozen=True):
    message: str
    type: str
    param: str | None
    code: str | None


class ErrorBody(Struct, frozen=True):
    error: Error


_encode = msgspec.json.Encoder().encode


def read_error(
    status: int, headers: Mapping[str, str], body: bytes, *, in_stream: bool = False
) -> Refused:
    """See Format.read_error."""
    return read_refusal(status, headers, body, in_stream=in_stream)


def error_of_choice(said: Raw | UnsetType, *, in_stream: bool = False) -> Refused | Garbled:
    """ext: why a choice ended with the finish reason "error"."""
    if said is UNSET or bytes(said) == b"null":
        return Garbled("The provider ended the answer with an error.")
    return read_error(200, {}, bytes(said), in_stream=in_stream)


def error_body(error: PlexusError) -> ErrorBody:
    """The body of an error answer, which is also what an error chunk of a stream holds."""
    said = _SAID[error.kind]
    last = error.last if isinstance(error, AllAttemptsFailed) else error
    own_code = None if isinstance(last, Refused) else error.code
    return ErrorBody(Error(error.told, said.type, error.param, own_code or said.code))


def write_error(error: PlexusError, request_id: str) -> tuple[int, bytes]:
    """See Format.write_error. The request id travels in a header only."""
    status = _SAID[error.kind].status or KIND_STATUS[error.kind]
    return status, _encode(error_body(error))
