"""Errors of providers as they are read, and of the gateway as clients are told."""

import json
from typing import Any

import pytest

from plexus_proxy.errors import (
    KINDS,
    AllAttemptsFailed,
    BadRequest,
    ContextTooLong,
    Garbled,
    Kind,
    MethodNotAllowed,
    NoCandidate,
    PlexusError,
    QuotaExceeded,
    Refused,
    SlowRequest,
    Stalled,
    TimedOut,
    TooLarge,
    Unauthenticated,
    UnknownModel,
    Unreachable,
    UnsupportedMedia,
)
from plexus_proxy.formats.format import Format
from plexus_proxy.formats.registry import FORMATS

CHAT, MESSAGES = FORMATS["chat"], FORMATS["messages"]
BOTH = pytest.mark.parametrize("fmt", [CHAT, MESSAGES], ids=["chat", "messages"])


def read(fmt: Format, status: int, body: Any, **headers: str) -> Refused:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return fmt.read_error(status, named, data)


OPENAI = {"error": {"message": "no", "type": "invalid_request_error", "param": None, "code": None}}
SHAPES: dict[str, tuple[Any, str]] = {
    "OpenAI": (OPENAI, "no"),
    "Anthropic": (
        {"type": "error", "error": {"type": "invalid_request_error", "message": "no"}},
        "no",
    ),
    "Gemini": ({"error": {"code": 400, "message": "no", "status": "INVALID_ARGUMENT"}}, "no"),
    "list": ([{"error": {"message": "no"}}], "no"),
    "error text": ({"error": "no"}, "no"),
    "message": ({"message": "no"}, "no"),
    "detail": ({"detail": "no"}, "no"),
    "detail list": ({"detail": [{"msg": "no", "loc": ["body"]}]}, "no"),
    "JSON in a string": ({"error": {"message": json.dumps({"error": {"message": "no"}})}}, "no"),
    "problem": ({"title": "no", "status": 400}, "no"),
    "bare string": ("no", "no"),
    "plain text": (b"no", "no"),
    "HTML with title": (
        b"<html><head><title>no\n way</title></head><body>x</body></html>",
        "no way",
    ),
    "HTML without": (b"<html><body><p>no</p> way</body></html>", "no way"),
    "empty": (b"", "The provider answered 400 without a message."),
    "blank": (b" \n", "The provider answered 400 without a message."),
    "empty object": ({}, "{}"),
    "not UTF-8": (b"no \xff", "no \ufffd"),
}


@BOTH
@pytest.mark.parametrize("shape", SHAPES)
def test_p121_every_shape_of_error_is_read(fmt: Format, shape: str) -> None:
    """P121."""
    body, message = SHAPES[shape]
    found = read(fmt, 400, body)
    assert found.message == message
    assert (found.kind, found.upstream_status, found.status) == ("bad_request", 400, 400)


@BOTH
def test_deep_and_endless_bodies_are_bounded(fmt: Format) -> None:
    nested: Any = "end"
    for _ in range(50):
        nested = {"error": nested}
    assert read(fmt, 400, nested).kind == "bad_request"
    assert read(fmt, 400, b"[" * 100_000).kind == "bad_request"
    long = read(fmt, 400, {"error": {"message": "x" * 5000}}).message
    assert long == "x" * 2000 + "... [truncated 3000 chars]"


STATUSES: list[tuple[int, Kind, int]] = [
    (400, "bad_request", 400),
    (401, "upstream_broken", 502),
    (402, "billing", 402),
    (403, "upstream_broken", 502),
    (404, "not_found", 404),
    (408, "timeout", 504),
    (413, "too_large", 413),
    (422, "bad_request", 400),
    (429, "rate_limit", 429),
    (500, "upstream_broken", 502),
    (502, "upstream_broken", 502),
    (503, "overloaded", 503),
    (504, "timeout", 504),
    (524, "timeout", 504),
    (529, "overloaded", 503),
    (418, "upstream_broken", 502),
]


@BOTH
@pytest.mark.parametrize(("status", "kind", "ours"), STATUSES)
def test_p120_a_status_means_the_same_everywhere(
    fmt: Format, status: int, kind: Kind, ours: int
) -> None:
    """P120: 401 and 403 are about the gateway's key, never about the client's."""
    found = read(fmt, status, {"error": {"message": "no"}})
    assert (found.kind, found.status, found.upstream_status) == (kind, ours, status)


@BOTH
@pytest.mark.parametrize(
    ("status", "error", "kind"),
    [
        (400, {"code": "context_length_exceeded", "message": "m"}, "context_too_long"),
        (
            400,
            {"message": "prompt is too long: 210000 tokens > 200000 maximum"},
            "context_too_long",
        ),
        (400, {"message": "This model's maximum context length is 8192"}, "context_too_long"),
        (400, {"code": "content_policy_violation", "message": "m"}, "content_policy"),
        (400, {"message": "Your credit balance is too low"}, "billing"),
        (429, {"code": "insufficient_quota", "message": "m"}, "billing"),
        (400, {"message": "usage limit reached"}, "billing"),
        (429, {"message": "usage limit for this minute"}, "rate_limit"),
        (400, {"code": "model_not_found", "message": "m"}, "not_found"),
        (500, {"type": "overloaded_error", "message": "m"}, "overloaded"),
    ],
)
def test_words_and_codes_say_more_than_the_status(
    fmt: Format, status: int, error: dict[str, Any], kind: Kind
) -> None:
    assert read(fmt, status, {"error": error}).kind == kind


@BOTH
@pytest.mark.parametrize(
    ("error", "status"),
    [
        ({"type": "overloaded_error", "message": "m"}, 529),
        ({"type": "rate_limit_error", "message": "m"}, 429),
        ({"type": "invalid_request_error", "message": "m"}, 400),
        ({"code": 503, "message": "m"}, 503),
        ({"type": "api_error", "message": "m"}, 500),
        ({"message": "m"}, 500),
    ],
)
def test_an_error_inside_a_200_gets_the_status_it_stands_for(
    fmt: Format, error: dict[str, Any], status: int
) -> None:
    assert read(fmt, 200, {"type": "error", "error": error}).upstream_status == status


@BOTH
@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry_after": "12"}, 12.0),
        ({"retry_after": "1.5"}, 1.5),
        ({"retry_after_ms": "250", "retry_after": "9"}, 0.25),
        (
            {
                "retry_after": "Thu, 26 Nov 2026 10:00:30 GMT",
                "date": "Thu, 26 Nov 2026 10:00:00 GMT",
            },
            30.0,
        ),
        ({"retry_after": "Thu, 26 Nov 2026 10:00:30 GMT"}, None),
        ({"retry_after": "0"}, None),
        ({"retry_after": "-5"}, None),
        ({"retry_after": "soon"}, None),
        ({"retry_after": "99999999"}, 8 * 86400.0),
        ({}, None),
    ],
)
def test_when_to_come_back(fmt: Format, headers: dict[str, str], seconds: float | None) -> None:
    assert read(fmt, 429, OPENAI, **headers).retry_after_s == seconds


def refused(kind: Kind) -> Refused:
    return Refused("no", upstream_status=599, kind=kind, body=b"raw", code="theirs")


CHAT_SAYS: dict[Kind, tuple[int, str, str | None]] = {
    "bad_request": (400, "invalid_request_error", None),
    "context_too_long": (400, "invalid_request_error", "context_length_exceeded"),
    "auth": (401, "authentication_error", "invalid_api_key"),
    "billing": (429, "insufficient_quota", "insufficient_quota"),
    "permission": (403, "permission_error", None),
    "not_found": (404, "invalid_request_error", "model_not_found"),
    "method_not_allowed": (405, "invalid_request_error", "method_not_allowed"),
    "request_timeout": (408, "invalid_request_error", "request_timeout"),
    "too_large": (413, "invalid_request_error", "request_too_large"),
    "unsupported_media": (415, "invalid_request_error", "unsupported_media_type"),
    "rate_limit": (429, "rate_limit_error", "rate_limit_exceeded"),
    "overloaded": (503, "server_error", "overloaded"),
    "timeout": (504, "server_error", "timeout"),
    "upstream_broken": (502, "server_error", "upstream_error"),
    "content_policy": (400, "invalid_request_error", "content_policy_violation"),
    "internal": (500, "server_error", "internal_error"),
}
MESSAGES_SAYS: dict[Kind, tuple[int, str]] = {
    "bad_request": (400, "invalid_request_error"),
    "context_too_long": (400, "invalid_request_error"),
    "auth": (401, "authentication_error"),
    "billing": (402, "billing_error"),
    "permission": (403, "permission_error"),
    "not_found": (404, "not_found_error"),
    "method_not_allowed": (405, "invalid_request_error"),
    "request_timeout": (408, "invalid_request_error"),
    "too_large": (413, "request_too_large"),
    "unsupported_media": (415, "invalid_request_error"),
    "rate_limit": (429, "rate_limit_error"),
    "overloaded": (529, "overloaded_error"),
    "timeout": (504, "timeout_error"),
    "upstream_broken": (502, "api_error"),
    "content_policy": (400, "invalid_request_error"),
    "internal": (500, "api_error"),
}


def test_the_tables_here_name_every_kind() -> None:
    assert set(KINDS) == CHAT_SAYS.keys() == MESSAGES_SAYS.keys()


@pytest.mark.parametrize("kind", CHAT_SAYS)
def test_p122_what_a_chat_client_is_told(kind: Kind) -> None:
    """P122; the provider's own code stays out of a body that is not its own."""
    status, body = CHAT.write_error(refused(kind), "req_1")
    ours, type_, code = CHAT_SAYS[kind]
    assert status == ours
    assert json.loads(body) == {
        "error": {"message": "no", "type": type_, "param": None, "code": code}
    }


@pytest.mark.parametrize("kind", MESSAGES_SAYS)
def test_p122_what_a_messages_client_is_told(kind: Kind) -> None:
    """P122; the words that make clients shorten a conversation are there."""
    status, body = MESSAGES.write_error(refused(kind), "req_1")
    ours, type_ = MESSAGES_SAYS[kind]
    message = "prompt is too long: no" if kind == "context_too_long" else "no"
    assert status == ours
    assert json.loads(body) == {
        "type": "error",
        "error": {"type": type_, "message": message},
        "request_id": "req_1",
    }


OWN: list[tuple[PlexusError, int, str, str | None, int, str]] = [
    (
        BadRequest("m", param="messages[0]"),
        400,
        "invalid_request",
        "messages[0]",
        400,
        "invalid_request_error",
    ),
    (ContextTooLong("m"), 400, "context_length_exceeded", None, 400, "invalid_request_error"),
    (Unauthenticated(), 401, "invalid_api_key", None, 401, "authentication_error"),
    (UnknownModel("x"), 404, "model_not_found", "model", 404, "not_found_error"),
    (
        MethodNotAllowed("m", allowed=("POST",)),
        405,
        "method_not_allowed",
        None,
        405,
        "invalid_request_error",
    ),
    (SlowRequest("m"), 408, "request_timeout", None, 408, "invalid_request_error"),
    (TooLarge("m"), 413, "request_too_large", None, 413, "request_too_large"),
    (UnsupportedMedia("m"), 415, "unsupported_media_type", None, 415, "invalid_request_error"),
    (QuotaExceeded("m"), 429, "quota_exceeded", None, 429, "rate_limit_error"),
    (Unreachable("m"), 502, "upstream_unreachable", None, 502, "api_error"),
    (Garbled("m"), 502, "upstream_garbled", None, 502, "api_error"),
    (TimedOut("headers", 2), 504, "upstream_headers_timeout", None, 504, "timeout_error"),
    (Stalled(2), 504, "upstream_idle_timeout", None, 504, "timeout_error"),
    (NoCandidate("m"), 503, "no_candidate", None, 529, "overloaded_error"),
    (
        AllAttemptsFailed("m", last=Unreachable("x")),
        502,
        "upstream_unreachable",
        None,
        502,
        "api_error",
    ),
    (PlexusError("m"), 500, "internal_error", None, 500, "api_error"),
]


@pytest.mark.parametrize(
    ("error", "chat_status", "code", "param", "messages_status", "type_"),
    OWN,
    ids=[type(each[0]).__name__ for each in OWN],
)
def test_every_error_of_ours_has_its_form(
    error: PlexusError,
    chat_status: int,
    code: str,
    param: str | None,
    messages_status: int,
    type_: str,
) -> None:
    status, body = CHAT.write_error(error, "r")
    said = json.loads(body)["error"]
    assert (status, said["code"], said["param"]) == (chat_status, code, param)
    assert said["message"] == error.message
    status, body = MESSAGES.write_error(error, "r")
    said = json.loads(body)["error"]
    assert (status, said["type"]) == (messages_status, type_)
    assert said["message"].endswith(error.message)


def test_an_unknown_model_is_named() -> None:
    _, body = CHAT.write_error(UnknownModel("gpt-x"), "r")
    assert json.loads(body)["error"]["message"] == "Model 'gpt-x' not found."


def test_one_message_for_every_wrong_key() -> None:
    assert Unauthenticated().message == "Invalid or missing API key."


def test_an_error_in_a_chat_stream_is_one_chunk() -> None:
    said = CHAT.stream_error(Garbled("cut"))
    assert said.startswith(b"data: ")
    assert said.endswith(b"\n\n")
    assert said.count(b"\n\n") == 1
    assert json.loads(said.removeprefix(b"data: ")) == {
        "error": {
            "message": "cut",
            "type": "server_error",
            "param": None,
            "code": "upstream_garbled",
        }
    }


def test_an_error_in_a_messages_stream_is_an_error_event() -> None:
    head, _, rest = MESSAGES.stream_error(refused("overloaded")).partition(b"\n")
    assert head == b"event: error"
    assert rest.endswith(b"\n\n")
    assert json.loads(rest.removeprefix(b"data: ")) == {
        "type": "error",
        "error": {"type": "overloaded_error", "message": "no"},
    }


def test_p120_the_providers_own_code_stays_out_when_every_attempt_has_failed() -> None:
    """P120: a client that reads invalid_api_key forgets its own."""
    body = (
        b'{"error":{"message":"Bad key","type":"invalid_request_error","code":"invalid_api_key"}}'
    )
    last = CHAT.read_error(401, {}, body)
    status, told = CHAT.write_error(AllAttemptsFailed("All failed.", last=last), "r")
    assert (status, json.loads(told)["error"]) == (
        502,
        {
            "message": "All failed.",
            "type": "server_error",
            "param": None,
            "code": "upstream_error",
        },
    )
    status, told = MESSAGES.write_error(AllAttemptsFailed("All failed.", last=last), "r")
    assert (status, json.loads(told)["error"]) == (
        502,
        {"type": "api_error", "message": "All failed."},
    )
