"""Errors of providers as they are read, and of the gateway as clients are told."""

import json
from typing import Any

import pytest
from support.golden import CHAT, MESSAGES, crossing

from plexus_proxy.errors import (
    KINDS,
    AllAttemptsFailed,
    BadRequest,
    Busy,
    ContextTooLong,
    Forbidden,
    Garbled,
    Kind,
    MethodNotAllowed,
    NoAllowance,
    NoCandidate,
    NotFound,
    Phase,
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
from plexus_proxy.formats.events import Failure
from plexus_proxy.formats.format import Format
from plexus_proxy.formats.sse import Framer

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
@pytest.mark.pitfall("P121")
def test_p121_every_shape_of_error_is_read(fmt: Format, shape: str) -> None:
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
    (402, "upstream_broken", 502),
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
@pytest.mark.pitfall("P120")
def test_p120_a_status_means_the_same_everywhere(
    fmt: Format, status: int, kind: Kind, ours: int
) -> None:
    """P120: 401, 402 and 403 are about the gateway's account, never about the client's."""
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
        (400, {"message": "Your credit balance is too low"}, "upstream_broken"),
        (429, {"code": "insufficient_quota", "message": "m"}, "upstream_broken"),
        (400, {"message": "usage limit reached"}, "rate_limit"),
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
@pytest.mark.pitfall("P122")
def test_p122_what_a_chat_client_is_told(kind: Kind) -> None:
    """P122; the provider's own code stays out of a body that is not its own."""
    status, body = CHAT.write_error(refused(kind), "req_1")
    ours, type_, code = CHAT_SAYS[kind]
    assert status == ours
    assert json.loads(body) == {
        "error": {"message": "no", "type": type_, "param": None, "code": code}
    }


@pytest.mark.parametrize("kind", MESSAGES_SAYS)
@pytest.mark.pitfall("P122")
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
    (NoAllowance("m"), 429, "rate_limit_exceeded", None, 429, "rate_limit_error"),
    (Busy("m"), 429, "concurrency_limit", None, 429, "rate_limit_error"),
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


@pytest.mark.pitfall("P120")
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


# Errors as providers' documents show them


def google(code: int, status: str, *details: dict[str, Any]) -> dict[str, Any]:
    return {"error": {"code": code, "message": "m", "status": status, "details": list(details)}}


def anthropic(kind: str, message: str = "m", **more: Any) -> dict[str, Any]:
    error = {"type": kind, "message": message, **more}
    return {"type": "error", "error": error, "request_id": "req_upstream"}


def openai(kind: str | None, code: Any = None, message: str = "m") -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


DOCUMENTED: list[tuple[int, Any, Kind, str | None]] = [
    # provider-errors.md §3
    (400, anthropic("invalid_request_error"), "bad_request", "invalid_request_error"),
    (
        400,
        anthropic("invalid_request_error", "Your credit balance is too low."),
        "upstream_broken",
        "invalid_request_error",
    ),
    (401, anthropic("authentication_error"), "upstream_broken", "authentication_error"),
    (402, anthropic("billing_error"), "upstream_broken", "billing_error"),
    (403, anthropic("permission_error"), "upstream_broken", "permission_error"),
    (404, anthropic("not_found_error"), "not_found", "not_found_error"),
    (409, anthropic("conflict_error"), "upstream_broken", "conflict_error"),
    (413, anthropic("request_too_large"), "too_large", "request_too_large"),
    (429, anthropic("rate_limit_error"), "rate_limit", "rate_limit_error"),
    (500, anthropic("api_error"), "upstream_broken", "api_error"),
    (504, anthropic("timeout_error"), "timeout", "timeout_error"),
    (529, anthropic("overloaded_error"), "overloaded", "overloaded_error"),
    # §4, from its endpoints in OpenAI's format
    (429, [google(429, "RESOURCE_EXHAUSTED")], "rate_limit", "resource_exhausted"),
    (400, [google(400, "INVALID_ARGUMENT")], "bad_request", "invalid_argument"),
    (503, google(503, "UNAVAILABLE", {"@type": "x"}), "overloaded", "unavailable"),
    # §5
    (400, openai("invalid_request_error", "unknown_parameter"), "bad_request", "unknown_parameter"),
    (
        400,
        openai("invalid_request_error", "context_length_exceeded"),
        "context_too_long",
        "context_length_exceeded",
    ),
    (401, openai("invalid_request_error", "invalid_api_key"), "upstream_broken", "invalid_api_key"),
    (403, openai("x", "unsupported_country_region_territory"), "upstream_broken", None),
    (404, openai("invalid_request_error", "model_not_found"), "not_found", "model_not_found"),
    (429, openai("tokens", "rate_limit_exceeded"), "rate_limit", "rate_limit_exceeded"),
    (
        429,
        openai("insufficient_quota", "insufficient_quota"),
        "upstream_broken",
        "insufficient_quota",
    ),
    (429, openai("insufficient_quota"), "upstream_broken", "insufficient_quota"),
    (500, openai("server_error"), "upstream_broken", "server_error"),
    (500, openai("server_error", "server_is_overloaded"), "overloaded", "server_is_overloaded"),
    (503, openai("service_unavailable_error", "slow_down"), "overloaded", "slow_down"),
    # §8: the code is the status, as a number or as a text
    (402, openai(None, 402, "This request requires more credits"), "upstream_broken", None),
    (403, openai(None, 403, "Your input was flagged"), "content_policy", None),
    (408, openai(None, 408), "timeout", None),
    (429, openai(None, "429"), "rate_limit", None),
    (502, openai(None, 502), "upstream_broken", None),
    # other servers
    (400, {"object": "error", "message": "m", "type": "X", "code": 400}, "bad_request", "x"),
    (422, {"detail": [{"msg": "m", "type": "missing"}]}, "bad_request", "missing"),
    (413, openai(None, None, "input is too long for this model"), "context_too_long", None),
    (522, b"<html><title>522: timed out</title></html>", "timeout", None),
]


@BOTH
@pytest.mark.parametrize(("status", "body", "kind", "code"), DOCUMENTED)
def test_documented_errors_are_understood(
    fmt: Format, status: int, body: Any, kind: Kind, code: str | None
) -> None:
    found = read(fmt, status, body)
    assert (found.kind, found.upstream_status) == (kind, status)
    if code is not None:
        assert found.code == code
    if isinstance(body, bytes):
        assert found.message == "522: timed out"
    assert found.body == (body if isinstance(body, bytes) else json.dumps(body).encode())


@BOTH
@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (anthropic("overloaded_error"), "overloaded", 529),
        (anthropic("rate_limit_error"), "rate_limit", 429),
        (anthropic("authentication_error"), "upstream_broken", 401),
        (anthropic("permission_error"), "upstream_broken", 403),
        (anthropic("request_too_large"), "too_large", 413),
        (anthropic("invalid_request_error", "prompt is too long: 9 > 8"), "context_too_long", 400),
        (openai("server_error"), "upstream_broken", 500),
        (openai("server_error", "overloaded"), "overloaded", 503),
        (openai("server_error", "slow_down"), "overloaded", 503),
        (openai("server_error", "server_is_overloaded"), "overloaded", 503),
        (openai("insufficient_quota"), "upstream_broken", 429),
        (openai("requests", "rate_limit_exceeded"), "rate_limit", 429),
        (openai("invalid_request_error", "context_length_exceeded"), "context_too_long", 400),
        (openai(None, 429), "rate_limit", 429),
        (openai(None, "429"), "rate_limit", 429),
        (openai(None, 502), "upstream_broken", 502),
        (openai(None, 99), "upstream_broken", 500),
        ({"error": "Something broke"}, "upstream_broken", 500),
    ],
)
@pytest.mark.pitfall("P15", "P16")
def test_p15_p16_an_error_inside_a_stream_stands_for_a_status(
    fmt: Format, body: Any, kind: Kind, status: int
) -> None:
    reader = fmt.reader(crossing())
    framer = Framer()
    [frame] = framer.feed(b"event: error\ndata: " + json.dumps(body).encode() + b"\n\n")
    [failure] = reader.feed(frame)
    assert isinstance(failure, Failure)
    error = failure.error
    assert isinstance(error, Refused)
    assert (error.kind, error.upstream_status, error.in_stream) == (kind, status, True)
    observer = fmt.observer()
    observer.frame(frame)
    assert observer.failure is not None
    assert (observer.failure.kind, observer.failure.upstream_status) == (kind, status)


@BOTH
def test_the_innermost_message_is_told(fmt: Format) -> None:
    inner = json.dumps({"error": {"code": 400, "message": "inner", "status": "INVALID_ARGUMENT"}})
    for body in (
        {"error": {"message": inner, "code": 400, "status": "Bad Request"}},
        {"error": inner},
        {"message": inner},
        inner,
        [inner],
        {"error": {"message": "outer", "error": {"message": "inner"}}},
    ):
        assert read(fmt, 400, body).message == "inner"


@BOTH
@pytest.mark.parametrize(
    "body", [b"null", b"7", b"[]", b'{"error":{}}', b'{"error":null}', b'{"error":{"message":7}}']
)
def test_json_that_says_nothing_is_told_as_it_is(fmt: Format, body: bytes) -> None:
    found = fmt.read_error(503, {}, body)
    assert (found.kind, found.message, found.code) == ("overloaded", body.decode(), None)


@BOTH
def test_a_redirect_is_no_answer(fmt: Format) -> None:
    found = fmt.read_error(302, {}, b"")
    assert (found.kind, found.status) == ("upstream_broken", 502)


@BOTH
@pytest.mark.parametrize("value", ["nan", "-inf", "", "1e400x", "Thu, 99 Nov 2026 10:00:30 GMT"])
def test_a_time_that_is_none_is_not_told(fmt: Format, value: str) -> None:
    date = "Thu, 26 Nov 2026 10:00:00 GMT"
    assert read(fmt, 429, OPENAI, retry_after=value, date=date).retry_after_s is None


# Written to the last byte

WRITTEN: list[tuple[PlexusError, int, bytes, int, bytes]] = [
    (
        Forbidden("Not yours."),
        403,
        b'{"error":{"message":"Not yours.","type":"permission_error","param":null,'
        b'"code":"permission_denied"}}',
        403,
        b'{"type":"error","error":{"type":"permission_error","message":"Not yours."},'
        b'"request_id":"req_9"}',
    ),
    (
        NotFound("Unknown path: GET /v1/x"),
        404,
        b'{"error":{"message":"Unknown path: GET /v1/x","type":"invalid_request_error",'
        b'"param":null,"code":"not_found"}}',
        404,
        b'{"type":"error","error":{"type":"not_found_error","message":"Unknown path: GET /v1/x"},'
        b'"request_id":"req_9"}',
    ),
    (
        BadRequest("Missing required field 'model'.", param="model"),
        400,
        b'{"error":{"message":"Missing required field \'model\'.","type":"invalid_request_error",'
        b'"param":"model","code":"invalid_request"}}',
        400,
        b'{"type":"error","error":{"type":"invalid_request_error",'
        b'"message":"Missing required field \'model\'."},"request_id":"req_9"}',
    ),
    (
        Unauthenticated(),
        401,
        b'{"error":{"message":"Invalid or missing API key.","type":"authentication_error",'
        b'"param":null,"code":"invalid_api_key"}}',
        401,
        b'{"type":"error","error":{"type":"authentication_error",'
        b'"message":"Invalid or missing API key."},"request_id":"req_9"}',
    ),
    (
        QuotaExceeded("Enough.", retry_after_s=5),
        429,
        b'{"error":{"message":"Enough.","type":"rate_limit_error","param":null,'
        b'"code":"quota_exceeded"}}',
        429,
        b'{"type":"error","error":{"type":"rate_limit_error","message":"Enough."},'
        b'"request_id":"req_9"}',
    ),
    (
        Garbled('Cut \u2013 "so"', code="upstream_cut"),
        502,
        b'{"error":{"message":"Cut \xe2\x80\x93 \\"so\\"","type":"server_error","param":null,'
        b'"code":"upstream_cut"}}',
        502,
        b'{"type":"error","error":{"type":"api_error","message":"Cut \xe2\x80\x93 \\"so\\""},'
        b'"request_id":"req_9"}',
    ),
    (
        NoCandidate("No target.", reasons={"acme": "sk-secret"}, retry_after_s=3),
        503,
        b'{"error":{"message":"No target.","type":"server_error","param":null,'
        b'"code":"no_candidate"}}',
        529,
        b'{"type":"error","error":{"type":"overloaded_error","message":"No target."},'
        b'"request_id":"req_9"}',
    ),
    (
        Refused(
            "Slow down.",
            upstream_status=429,
            kind="rate_limit",
            body=b'{"error":"sk-secret"}',
            headers={"x-account": "sk-secret"},
            code="sk-secret",
        ),
        429,
        b'{"error":{"message":"Slow down.","type":"rate_limit_error","param":null,'
        b'"code":"rate_limit_exceeded"}}',
        429,
        b'{"type":"error","error":{"type":"rate_limit_error","message":"Slow down."},'
        b'"request_id":"req_9"}',
    ),
]


@pytest.mark.parametrize(
    ("error", "chat_status", "chat", "messages_status", "messages"),
    WRITTEN,
    ids=[type(each[0]).__name__ for each in WRITTEN],
)
@pytest.mark.pitfall("P122")
def test_p122_errors_are_written_to_the_byte_and_hold_no_secret(
    error: PlexusError, chat_status: int, chat: bytes, messages_status: int, messages: bytes
) -> None:
    """P122: the request id is in Messages bodies only; what only we should know is in none."""
    assert CHAT.write_error(error, "req_9") == (chat_status, chat)
    assert MESSAGES.write_error(error, "req_9") == (messages_status, messages)
    assert CHAT.stream_error(error) == b"data: " + chat + b"\n\n"
    in_stream = messages.replace(b',"request_id":"req_9"', b"")
    assert MESSAGES.stream_error(error) == b"event: error\ndata: " + in_stream + b"\n\n"


@pytest.mark.parametrize(
    ("phase", "code"),
    [
        ("connect", "upstream_connect_timeout"),
        ("write", "upstream_write_timeout"),
        ("headers", "upstream_headers_timeout"),
        ("first_content", "upstream_first_content_timeout"),
        ("idle", "upstream_idle_timeout"),
        ("total", "upstream_timeout"),
    ],
)
def test_a_time_out_names_its_phase(phase: Phase, code: str) -> None:
    status, body = CHAT.write_error(TimedOut(phase, 2.5), "r")
    assert status == 504
    assert json.loads(body)["error"] == {
        "message": f"The provider exceeded the {phase} time-out of 2.5 s.",
        "type": "server_error",
        "param": None,
        "code": code,
    }


def every_class(root: type[PlexusError] = PlexusError) -> set[type[PlexusError]]:
    return {root}.union(*(every_class(each) for each in root.__subclasses__()))


def test_every_error_class_is_written_here() -> None:
    written = {type(each[0]) for each in (*OWN, *WRITTEN)}
    assert {each.__name__ for each in every_class() - written} == {"ClientFault", "UpstreamFault"}


def test_words_that_shorten_a_conversation_are_not_said_twice() -> None:
    error = ContextTooLong("Prompt is too long: 9 > 8")
    told = json.loads(MESSAGES.write_error(error, "r")[1])
    assert told["error"]["message"] == "Prompt is too long: 9 > 8"
    told = json.loads(CHAT.write_error(error, "r")[1])
    assert told["error"]["message"] == "Prompt is too long: 9 > 8"


@pytest.mark.parametrize(
    ("last", "chat", "messages"),
    [
        (Unreachable("x"), (502, "upstream_unreachable"), 502),
        (TimedOut("headers", 2), (504, "upstream_headers_timeout"), 504),
        (refused("rate_limit"), (429, "rate_limit_exceeded"), 429),
        (refused("billing"), (429, "insufficient_quota"), 402),
        (refused("overloaded"), (503, "overloaded"), 529),
    ],
)
def test_when_every_attempt_has_failed_the_last_one_gives_the_status(
    last: PlexusError, chat: tuple[int, str], messages: int
) -> None:
    last.retry_after_s = 7
    error = AllAttemptsFailed("All failed.", last=last)
    status, body = CHAT.write_error(error, "r")
    told = json.loads(body)["error"]
    assert (status, told["code"], told["message"]) == (*chat, "All failed.")
    assert MESSAGES.write_error(error, "r")[0] == messages
    assert error.retry_after_s == 7
