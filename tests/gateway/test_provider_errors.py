"""What a provider does wrong, and what its client is told."""

import json
import socket
from typing import Any

import pytest
from support.answers import (
    VOICES,
    chat_error,
    gemini_error,
    messages_error,
    responses_body,
    sse,
)
from support.fake_provider import Chunk, Drop, Flood, Hang, Head, Raw, Step, Whole
from support.gateway import (
    BAD_GATEWAY,
    CROSS,
    FORMATS,
    PAIRS,
    SOME_PAIRS,
    Stand,
    StandBuilder,
    ask_body,
    error_in,
    error_object,
    events_in,
)
from support.judges import read_stream

ERRORS = {fmt: VOICES[fmt].error for fmt in FORMATS}
JSON = {"content-type": "application/json"}
HTML = {"content-type": "text/html"}


@pytest.mark.parametrize("fmt", FORMATS)
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("status", [400, 404, 409, 413, 422, 429, 500, 503, 529])
@pytest.mark.pitfall("P118")
async def test_a_provider_of_the_same_format_speaks_for_itself(
    stand: Stand, fmt: str, stream: bool, status: int
) -> None:
    body = json.dumps(ERRORS[fmt]("own words") | {"extra": 1.0}).encode()
    stand.provider(fmt).enqueue(Whole(body, status, JSON | {"retry-after": "17"}))
    reply = await stand.gateway.ask(fmt, ask_body(fmt, fmt, stream=stream))
    assert reply.status == status
    assert reply.body == body
    assert reply.headers["retry-after"] == "17"
    row = await stand.gateway.row()
    assert (row["status"], row["http_status"]) == ("error", status)
    assert row["attempts"][0]["http_status"] == status
    assert row["error_message"] == "own words"


OPENAI_SAYS = {
    400: (400, "invalid_request_error"),
    404: (404, "invalid_request_error"),
    413: (413, "invalid_request_error"),
    429: (429, "rate_limit_error"),
    500: (502, "server_error"),
    503: (503, "server_error"),
}
SAYS: dict[str, dict[int, tuple[int, str]]] = {
    "chat": OPENAI_SAYS,
    "responses": OPENAI_SAYS,
    "messages": {
        400: (400, "invalid_request_error"),
        404: (404, "not_found_error"),
        413: (413, "request_too_large"),
        429: (429, "rate_limit_error"),
        500: (502, "api_error"),
        503: (529, "overloaded_error"),
    },
    "gemini": {
        400: (400, "INVALID_ARGUMENT"),
        404: (404, "NOT_FOUND"),
        413: (413, "INVALID_ARGUMENT"),
        429: (429, "RESOURCE_EXHAUSTED"),
        500: (503, "UNAVAILABLE"),
        503: (503, "UNAVAILABLE"),
    },
}
"""What a client of each format is told, by what another format's provider answers."""
STATUSES = tuple(OPENAI_SAYS)


def _refusal(fmt: str, status: int) -> tuple[dict[str, Any], int]:
    """What a provider of the format answers when it means `status`."""
    words = "The vendor's words."
    match fmt:
        case "messages":
            types = {**SAYS["messages"], 500: (500, "api_error")}
            return messages_error(words, types[status][1]), 529 if status == 503 else status
        case "gemini":
            statuses = {**SAYS["gemini"], 500: (500, "INTERNAL")}
            return gemini_error(words, status, statuses[status][1]), status
        case _:
            kind = "server_error" if status >= 500 else "invalid_request_error"
            return chat_error(words, kind), status


@pytest.mark.parametrize(("fmt", "upstream"), CROSS)
@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.pitfall("P118", "P122")
async def test_a_refusal_is_told_in_the_clients_own_terms(
    stand: Stand, fmt: str, upstream: str, status: int
) -> None:
    said, answered = _refusal(upstream, status)
    for stream in (False, True):
        stand.provider(upstream).enqueue(Whole(said, answered, JSON | {"retry-after": "17"}))
        reply = await stand.gateway.ask(fmt, ask_body(fmt, upstream, stream=stream))
        error = error_object(fmt, reply.json())
        kind = error["status" if fmt == "gemini" else "type"]
        assert (reply.status, kind) == SAYS[fmt][status]
        assert "The vendor's words." in error["message"]
        assert reply.headers["retry-after"] == "17"


@pytest.mark.parametrize(("fmt", "upstream"), PAIRS)
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("status", [401, 402, 403])
@pytest.mark.pitfall("P120")
async def test_a_provider_that_refuses_our_credential_is_a_bad_gateway(
    stand: Stand, fmt: str, upstream: str, stream: bool, status: int
) -> None:
    stand.provider(upstream).enqueue(Whole(ERRORS[upstream]("bad key", "auth"), status))
    reply = await stand.gateway.ask(fmt, ask_body(fmt, upstream, stream=stream))
    assert reply.status == BAD_GATEWAY[fmt]
    error = error_object(fmt, reply.json())
    told = {"messages": ("type", "api_error"), "gemini": ("status", "UNAVAILABLE")}
    name, kind = told.get(fmt, ("type", "server_error"))
    assert error[name] == kind
    assert error["message"] == "The provider refused the gateway's credential."
    row = await stand.gateway.row()
    assert row["http_status"] == BAD_GATEWAY[fmt]
    assert row["attempts"][0]["http_status"] == status
    assert row["error_message"] == "bad key"


@pytest.mark.parametrize(("fmt", "upstream"), PAIRS)
@pytest.mark.parametrize(
    ("words", "told"),
    [("Your credit balance is too low.", 502), ("You have reached your usage limit.", 429)],
)
async def test_a_400_about_the_gateways_account_is_not_the_clients_fault(
    stand: Stand, fmt: str, upstream: str, words: str, told: int
) -> None:
    stand.provider(upstream).enqueue(Whole(ERRORS[upstream](words), 400))
    reply = await stand.gateway.ask(fmt, ask_body(fmt, upstream))
    assert reply.status == (BAD_GATEWAY[fmt] if told == 502 else told)
    assert (words in error_object(fmt, reply.json())["message"]) == (told == 429)
    assert (await stand.gateway.row())["error_message"] == words


SHAPES: dict[str, tuple[bytes, dict[str, str]]] = {
    "html": (b"<html><body><h1>502 Bad Gateway</h1>\xff</body></html>", HTML),
    "html labelled json": (b"<html><body>Bad Gateway</body></html>", JSON),
    "empty": (b"", JSON),
    "no type": (b"", {}),
    "list": (b'[{"error": {"message": "listed", "code": 1}}]', JSON),
    "text": (b"upstream connect error", {"content-type": "text/plain"}),
    "null": (b"null", JSON),
    "number": (b"1", JSON),
    "nested json": (
        json.dumps({"error": {"message": json.dumps({"error": {"message": "in"}})}}).encode(),
        JSON,
    ),
    "detail": (b'{"detail": "the detail"}', JSON),
    "detail list": (b'{"detail": [{"loc": ["body"], "msg": "field required"}]}', JSON),
    "error text": (b'{"error": "just text"}', JSON),
    "message": (b'{"message": "on top"}', JSON),
    "null error": (b'{"error": null}', JSON),
    "broken": (b'{"error": {"mess', JSON),
    "deep": (b"[" * 50_000, JSON),
    "latin": ('{"error": {"message": "größer"}}'.encode("latin-1"), JSON),
    "huge": (b'{"error": {"message": "' + b"x" * 1_000_000 + b'"}}', JSON),
}


@pytest.mark.parametrize(("fmt", "upstream"), SOME_PAIRS)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("status", [400, 500])
@pytest.mark.pitfall("P121", "B76")
async def test_an_error_in_any_shape_becomes_an_error_a_client_can_read(
    stand: Stand, fmt: str, upstream: str, shape: str, status: int
) -> None:
    body, headers = SHAPES[shape]
    stand.provider(upstream).enqueue(Whole(body, status, headers))
    reply = await stand.gateway.ask(fmt, ask_body(fmt, upstream))
    assert reply.status in ((400,) if status == 400 else (500, 502, 503))
    assert reply.headers["content-type"].startswith("application/json")
    parsed = reply.json()
    assert isinstance(parsed, dict)
    if fmt != upstream or shape in ("html", "empty", "list", "text", "null", "broken", "huge"):
        error_object(fmt, parsed)
        assert "<html" not in reply.text
    assert len(reply.body) < 100_000
    row = await stand.gateway.row()
    assert row["error_message"]
    assert len(row["error_message"]) <= 2000


@pytest.mark.parametrize(("fmt", "upstream"), PAIRS)
async def test_when_to_come_back_is_a_header_wherever_the_provider_says_it(
    stand: Stand, fmt: str, upstream: str
) -> None:
    error = ERRORS[upstream]("Slow down. Please try again in 33.2s.")
    stand.provider(upstream).enqueue(Whole(error, 429))
    reply = await stand.gateway.ask(fmt, ask_body(fmt, upstream))
    assert (reply.status, reply.headers["retry-after"]) == (429, "34")


@pytest.mark.parametrize("value", ["99999999", "Wed, 21 Oct 2099 07:28:00 GMT"])
async def test_a_time_to_come_back_is_bounded(stand: Stand, value: str) -> None:
    stand.chat.enqueue(Whole(ERRORS["chat"]("Slow down."), 429, JSON | {"retry-after": value}))
    reply = await stand.gateway.ask("chat", ask_body("chat", "chat"))
    assert (reply.status, reply.headers["retry-after"]) == (429, str(8 * 86400))


UNFINISHED = json.dumps(chat_error("Out of credits.", "x", "insufficient_quota")).encode()
UNFINISHED_STEPS: dict[str, list[Step]] = {
    "cut": [Head(429, JSON), Chunk(UNFINISHED), Drop()],
    "cut in the middle": [Head(429, JSON), Chunk(UNFINISHED[:-9]), Drop()],
    "silent": [Head(429, JSON), Chunk(UNFINISHED), Hang()],
    "too long": [Whole(UNFINISHED[:-1] + b', "input": "' + b"y" * 200_000 + b'"}', 429)],
}


@pytest.mark.provider_breaks_grammar
@pytest.mark.parametrize("steps", UNFINISHED_STEPS.values(), ids=UNFINISHED_STEPS)
@pytest.mark.parametrize("stream", [False, True])
async def test_of_an_error_that_does_not_end_counts_what_has_come(
    stand_builder: StandBuilder, steps: list[Step], stream: bool
) -> None:
    stand_builder.config["timeouts"] = {"first_content_s": 1}
    async with stand_builder.started() as stand:
        stand.chat.enqueue(*steps)
        reply = await stand.gateway.ask("chat", ask_body("chat", "chat", stream=stream))
        assert reply.status == 502  # it is about the gateway's account
        row = await stand.gateway.row()
        assert "Out of credits." in row["error_message"]
        assert row["attempts"][0]["http_status"] == 429
        assert row["status"] == "error"


async def test_no_part_of_a_key_is_left_where_a_message_is_cut(stand: Stand) -> None:
    key = stand.secrets.providers["chat"]
    echo = b"x" * (2000 - len(key) // 2) + key.encode()
    stand.chat.enqueue(Whole(echo, 400, {"content-type": "text/plain"}))
    reply = await stand.gateway.ask("chat", ask_body("chat", "chat"))
    assert "***" in reply.text
    assert key[:8] not in reply.text


@pytest.mark.parametrize(("fmt", "upstream"), PAIRS)
@pytest.mark.parametrize("stream", [False, True])
async def test_a_provider_that_echoes_our_key_does_not_tell_it_to_the_client(
    stand: Stand, fmt: str, upstream: str, stream: bool
) -> None:
    key = stand.secrets.providers[upstream]
    stand.provider(upstream).enqueue(
        Whole(ERRORS[upstream](f"Incorrect API key provided: {key}."), 400)
    )
    reply = await stand.gateway.ask(fmt, ask_body(fmt, upstream, stream=stream))
    assert reply.status == 400
    assert key not in reply.text
    assert "Incorrect API key provided" in reply.text
    assert key not in json.dumps(await stand.gateway.row())


@pytest.mark.parametrize(("fmt", "upstream"), PAIRS)
@pytest.mark.parametrize("where", ["first", "later", "whole"])
async def test_a_key_echoed_inside_a_200_answers_error_is_not_told_either(
    stand: Stand, fmt: str, upstream: str, where: str
) -> None:
    key = stand.secrets.providers[upstream]
    event = VOICES[upstream].error_frame(f"Bad key {key}")
    if where == "first":
        stand.provider(upstream).enqueue(Head(), Chunk(event))
    elif where == "later":
        opening = VOICES[upstream].opening()
        stand.provider(upstream).enqueue(Head(), *map(Chunk, opening), Chunk(event))
    else:
        stand.provider(upstream).enqueue(Whole(ERRORS[upstream](f"Bad key {key}")))
    reply = await stand.gateway.ask(fmt, ask_body(fmt, upstream, stream=where != "whole"))
    assert key not in reply.text
    assert key not in json.dumps(await stand.gateway.row())


@pytest.mark.parametrize("fmt", FORMATS)
async def test_secret_configured_headers_are_scrubbed_too(
    stand_builder: StandBuilder, fmt: str
) -> None:
    secret = stand_builder.secrets.other + "-header"
    stand_builder.provider_config(fmt)["headers"] = {"x-tenant-token": secret}
    async with stand_builder.started() as stand:
        stand.provider(fmt).enqueue(Whole(ERRORS[fmt](f"tenant {secret} blocked"), 400))
        reply = await stand.gateway.ask(fmt, ask_body(fmt, fmt))
        assert secret not in reply.text
        assert secret not in json.dumps(await stand.gateway.row())


@pytest.mark.parametrize(("fmt", "upstream"), PAIRS)
@pytest.mark.parametrize("pieces", [1, 5, 1000])
@pytest.mark.pitfall("P16")
async def test_an_error_event_before_any_content_becomes_an_http_status(
    stand: Stand, fmt: str, upstream: str, pieces: int
) -> None:
    stream = b": hi\n\n" + VOICES[upstream].error_frame("Overloaded", "overloaded")
    size = max(1, len(stream) // pieces)
    chunks = [Chunk(stream[at : at + size]) for at in range(0, len(stream), size)]
    stand.provider(upstream).enqueue(Head(), *chunks)
    reply = await stand.gateway.ask(fmt, ask_body(fmt, upstream, stream=True))
    assert reply.status == (529 if fmt == "messages" else 503)
    assert "Overloaded" in error_object(fmt, reply.json())["message"]
    row = await stand.gateway.row()
    assert (row["status"], row["http_status"]) == ("error", reply.status)
    assert row["attempts"][0]["http_status"] == 200


@pytest.mark.parametrize(("fmt", "upstream"), PAIRS)
async def test_an_error_event_after_the_first_bookkeeping_is_still_an_http_status_or_in_band(
    stand: Stand, fmt: str, upstream: str
) -> None:
    """message_start opens the stream: what follows it is told in-band. Never a clean end."""
    voice = VOICES[upstream]
    frames = [*voice.frames()[: voice.before_text], voice.error_frame("Overloaded", "overloaded")]
    stand.provider(upstream).enqueue(Head(), *map(Chunk, frames))
    reply = await stand.gateway.ask(fmt, ask_body(fmt, upstream, stream=True))
    if reply.status == 200:
        answer = read_stream(fmt, reply.body)
        assert answer.error is not None
        assert "Overloaded" in answer.error["message"]
        assert not answer.text
    else:
        assert "Overloaded" in error_object(fmt, reply.json())["message"]
    assert (await stand.gateway.row())["error_message"] == "Overloaded"


@pytest.mark.parametrize(("fmt", "upstream"), PAIRS)
@pytest.mark.pitfall("P15", "P38")
async def test_an_error_event_in_mid_stream_ends_it_in_band(
    stand: Stand, fmt: str, upstream: str
) -> None:
    voice = VOICES[upstream]
    frames = [*voice.opening(), voice.error_frame("Overloaded", "overloaded")]
    stand.provider(upstream).enqueue(Head(), *map(Chunk, frames), Chunk(voice.delta("more")))
    reply = await stand.gateway.ask(fmt, ask_body(fmt, upstream, stream=True))
    assert reply.status == 200
    _assert_ends_with_error(fmt, reply.body, "Overloaded")
    row = await stand.gateway.row()
    assert (row["status"], row["http_status"]) == ("error", 200)
    assert row["error_message"] == "Overloaded"
    assert row["attempts"][0]["status"] == "failed"
    if fmt == upstream:
        assert reply.body == b"".join(frames)


@pytest.mark.parametrize("fmt", FORMATS)
@pytest.mark.parametrize(
    "event",
    [
        {"type": "error", "code": "server_error", "message": "Overloaded", "param": None},
        {"type": "error", "error": {"type": "server_error", "message": "Overloaded"}},
        {"error": {"type": "server_error", "message": "Overloaded"}},
    ],
    ids=["flat", "nested", "untyped"],
)
@pytest.mark.provider_breaks_grammar
async def test_a_responses_provider_may_say_error_in_other_words(
    stand: Stand, fmt: str, event: dict[str, Any]
) -> None:
    opening = VOICES["responses"].opening()
    stand.providers["responses"].enqueue(Head(), *map(Chunk, opening), Chunk(sse(event)))
    reply = await stand.gateway.ask(fmt, ask_body(fmt, "responses", stream=True))
    if fmt != "responses":
        _assert_ends_with_error(fmt, reply.body, "Overloaded")
    else:
        assert reply.body == b"".join(opening) + sse(event)
    assert (await stand.gateway.row())["error_message"] == "Overloaded"


@pytest.mark.pitfall("B20")
@pytest.mark.parametrize("fmt", FORMATS)
@pytest.mark.parametrize("stream", [False, True])
async def test_what_a_failed_response_says_it_used_is_counted(
    stand: Stand, fmt: str, stream: bool
) -> None:
    error = {"code": "server_error", "message": "Broken."}
    failed = responses_body(status="failed", output=[], error=error)
    end = {"type": "response.failed", "sequence_number": 6, "response": failed}
    frames = [*VOICES["responses"].opening(), sse(end, "response.failed")]
    stand.providers["responses"].enqueue(
        *([Head(), *map(Chunk, frames)] if stream else [Whole(failed)])
    )
    await stand.gateway.ask(fmt, ask_body(fmt, "responses", stream=stream))
    row = await stand.gateway.row()
    assert row["status"] == "error"
    assert (row["input_tokens"], row["cache_read_tokens"]) == (17, 4)
    assert row["output_tokens"] > 0


def _assert_ends_with_error(fmt: str, stream: bytes, words: str = "") -> None:
    """It says what there was, then the error, and nothing that looks like an end."""
    answer = read_stream(fmt, stream)
    assert answer.error is not None
    assert words in answer.error["message"]
    assert answer.text == "Teal is a"
    assert answer.reason is None


@pytest.mark.parametrize(("fmt", "upstream"), PAIRS)
@pytest.mark.parametrize("how", ["dropped", "ended"])
@pytest.mark.parametrize("inside", [False, True], ids=["between frames", "inside a frame"])
async def test_a_stream_that_is_cut_ends_with_an_error_in_band(
    stand: Stand, fmt: str, upstream: str, how: str, inside: bool
) -> None:
    steps: list[Step] = [Head(), *map(Chunk, VOICES[upstream].opening())]
    if inside:
        steps.append(Chunk(b'data: {"half'))
    if how == "dropped":
        steps.append(Drop())
    stand.provider(upstream).enqueue(*steps)
    reply = await stand.gateway.ask(fmt, ask_body(fmt, upstream, stream=True))
    assert reply.status == 200
    _assert_ends_with_error(fmt, reply.body)
    row = await stand.gateway.row()
    assert row["status"] == "error"
    assert row["error_code"] in ("upstream_cut", "upstream_garbled")
    assert row["tokens_estimated"] == 1


@pytest.mark.parametrize(("fmt", "upstream"), PAIRS)
@pytest.mark.parametrize("how", ["dropped", "ended"])
async def test_a_stream_that_only_lacks_its_terminal_frame_is_complete(
    stand: Stand, fmt: str, upstream: str, how: str
) -> None:
    """All has been said that the answer is made of. A Responses answer ends with its last frame."""
    last = {
        "chat": 1,  # [DONE]
        "messages": 1,  # message_stop
        "gemini": 0,
        "responses": 0,
    }[upstream]
    frames = VOICES[upstream].frames()
    steps: list[Step] = [Head(), *map(Chunk, frames[: len(frames) - last])]
    stand.provider(upstream).enqueue(*steps, *([Drop()] if how == "dropped" else []))
    reply = await stand.gateway.ask(fmt, ask_body(fmt, upstream, stream=True))
    answer = read_stream(fmt, reply.body)
    assert (answer.text, answer.error) == ("Teal is a colour.", None)
    assert (await stand.gateway.row())["status"] == "success"


@pytest.mark.parametrize(("fmt", "upstream"), SOME_PAIRS)
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("body", [b"", b"   ", b"data: [DONE]\n\n", b": only a comment\n\n"])
async def test_an_empty_answer_is_a_bad_gateway(
    stand: Stand, fmt: str, upstream: str, stream: bool, body: bytes
) -> None:
    headers = {"content-type": "text/event-stream" if stream else "application/json"}
    stand.provider(upstream).enqueue(Whole(body, 200, headers))
    reply = await stand.gateway.ask(fmt, ask_body(fmt, upstream, stream=stream))
    assert reply.status == BAD_GATEWAY[fmt]
    error_object(fmt, reply.json())


@pytest.mark.parametrize(("fmt", "upstream"), SOME_PAIRS)
@pytest.mark.parametrize(
    "body", [b"<html>hello</html>", b"{", b"[]", b'"text"', b"null", b"\xff\xfe\x00"]
)
@pytest.mark.pitfall("B50")
async def test_a_200_that_is_no_answer_is_a_bad_gateway(
    stand: Stand, fmt: str, upstream: str, body: bytes
) -> None:
    stand.provider(upstream).enqueue(Whole(body))
    reply = await stand.gateway.ask(fmt, ask_body(fmt, upstream))
    assert reply.status == BAD_GATEWAY[fmt]
    error_object(fmt, reply.json())
    row = await stand.gateway.row()
    assert (row["status"], row["error_code"]) == ("error", "upstream_garbled")


@pytest.mark.parametrize(("fmt", "upstream"), PAIRS)
@pytest.mark.parametrize("stream", [False, True])
async def test_an_error_object_with_status_200_is_an_error(
    stand: Stand, fmt: str, upstream: str, stream: bool
) -> None:
    error = ERRORS[upstream]("Slow down.", "rate limit")
    stand.provider(upstream).enqueue(Whole(error))
    reply = await stand.gateway.ask(fmt, ask_body(fmt, upstream, stream=stream))
    assert reply.status == 429
    assert "Slow down." in error_object(fmt, reply.json())["message"]


@pytest.mark.parametrize(("fmt", "upstream"), PAIRS)
async def test_html_in_place_of_a_stream_is_a_bad_gateway(
    stand: Stand, fmt: str, upstream: str
) -> None:
    stand.provider(upstream).enqueue(Whole("<html>\n\n<p>data: x</p></html>", 200, HTML))
    reply = await stand.gateway.ask(fmt, ask_body(fmt, upstream, stream=True))
    assert reply.status == BAD_GATEWAY[fmt]
    error_object(fmt, reply.json())


@pytest.mark.parametrize(("fmt", "upstream"), PAIRS)
@pytest.mark.provider_breaks_grammar
@pytest.mark.pitfall("B50")
async def test_broken_json_in_mid_stream_ends_it_in_band(
    stand: Stand, fmt: str, upstream: str
) -> None:
    voice = VOICES[upstream]
    broken = b'data: {"choices": [}\n\n'
    frames = [*voice.opening(), broken, voice.delta("more")]
    stand.provider(upstream).enqueue(Head(), *map(Chunk, frames))
    reply = await stand.gateway.ask(fmt, ask_body(fmt, upstream, stream=True))
    if fmt != upstream:
        _assert_ends_with_error(fmt, reply.body)
    else:  # the very bytes, and then the error
        assert reply.body.startswith(b"".join(frames[:-1]))
        assert error_in(fmt, events_in(reply.body.replace(broken, b""))[-1])
    assert (await stand.gateway.row())["status"] == "error"


@pytest.mark.parametrize(("fmt", "upstream"), SOME_PAIRS)
@pytest.mark.provider_breaks_grammar
async def test_a_line_that_never_ends_is_bounded(stand: Stand, fmt: str, upstream: str) -> None:
    opening = b"".join(VOICES[upstream].opening(1))
    provider = stand.provider(upstream)
    provider.enqueue(Head(), Chunk(opening), Chunk(b"data: "), Flood(b"x" * 1_000_000, 100))
    reply = await stand.gateway.ask(fmt, ask_body(fmt, upstream, stream=True))
    await provider.last.over.wait()
    assert provider.last.sent_bytes < 100_000_000
    assert len(reply.body) < 100_000_000
    assert (await stand.gateway.row())["status"] == "error"


def _closed_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


@pytest.mark.parametrize(("fmt", "upstream"), SOME_PAIRS)
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("address", ["http://127.0.0.1:{port}/v1", "http://no-such-host.invalid"])
async def test_a_provider_that_cannot_be_reached_is_a_bad_gateway(
    stand_builder: StandBuilder, fmt: str, upstream: str, stream: bool, address: str
) -> None:
    url = address.format(port=_closed_port())
    stand_builder.provider_config(upstream)["api_base_url"] = {upstream: url}
    async with stand_builder.started() as stand:
        reply = await stand.gateway.ask(fmt, ask_body(fmt, upstream, stream=stream))
        assert reply.status == BAD_GATEWAY[fmt]
        message = error_object(fmt, reply.json())["message"]
        assert "127.0.0.1" not in message
        assert "no-such-host" not in message
        row = await stand.gateway.row()
        assert row["error_code"] in ("upstream_unreachable", "upstream_dns")
        assert row["attempts"][0]["http_status"] is None


@pytest.mark.parametrize("fmt", FORMATS)
async def test_a_provider_that_does_not_speak_tls_is_a_bad_gateway(
    stand_builder: StandBuilder, fmt: str
) -> None:
    address = stand_builder.providers[fmt].url.replace("http:", "https:")
    stand_builder.provider_config(fmt)["api_base_url"] = {fmt: address}
    async with stand_builder.started() as stand:
        reply = await stand.gateway.ask(fmt, ask_body(fmt, fmt))
        assert reply.status == BAD_GATEWAY[fmt]
        assert (await stand.gateway.row())["error_code"] == "upstream_tls"


@pytest.mark.parametrize(("fmt", "upstream"), SOME_PAIRS)
@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"HTTP/1.1 200 OK\r\ncontent-le",
        b"\x00\x01\x02 no http\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\ncontent-type: application/json\r\n\r\n{",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n{}   ",
    ],
    ids=["nothing", "half a head", "garbage", "cut body", "bad chunk", "two lengths"],
)
async def test_an_answer_that_is_no_http_is_a_bad_gateway(
    stand: Stand, fmt: str, upstream: str, raw: bytes
) -> None:
    stand.provider(upstream).enqueue(Raw(raw))
    reply = await stand.gateway.ask(fmt, ask_body(fmt, upstream))
    assert reply.status == BAD_GATEWAY[fmt]
    error_object(fmt, reply.json())
    assert (await stand.gateway.ask(fmt, ask_body(fmt, upstream))).status == 200


OVERFLOWS = {
    "chat": chat_error("Too many tokens.", "invalid_request_error", "context_length_exceeded"),
    "messages": messages_error(
        "prompt is too long: 210000 tokens > 200000", "invalid_request_error"
    ),
    "gemini": gemini_error(
        "The input token count (210000) exceeds the maximum number of tokens allowed (200000).",
        400,
        "INVALID_ARGUMENT",
    ),
}
OVERFLOWS["responses"] = OVERFLOWS["chat"]


@pytest.mark.parametrize(("fmt", "upstream"), CROSS)
async def test_context_overflow_keeps_its_meaning_across_formats(
    stand: Stand, fmt: str, upstream: str
) -> None:
    stand.provider(upstream).enqueue(Whole(OVERFLOWS[upstream], 400))
    reply = await stand.gateway.ask(fmt, ask_body(fmt, upstream))
    told = error_object(fmt, reply.json())
    assert reply.status == 400
    match fmt:
        case "messages":
            assert "prompt is too long" in told["message"]
        case "gemini":
            assert "exceeds the maximum number of tokens" in told["message"]
        case _:
            assert told["code"] == "context_length_exceeded"


async def test_targets_that_cannot_be_used_say_why(stand_builder: StandBuilder) -> None:
    stand_builder.config["providers"]["chatty"]["enabled"] = False
    stand_builder.config["models"]["to-chat"]["targets"].append(
        {"provider": "anthro", "model": "up-messages", "enabled": False}
    )
    async with stand_builder.started() as stand:
        reply = await stand.gateway.ask("chat", ask_body("chat", "chat"))
        assert reply.status == 503
        message = error_object("chat", reply.json())["message"]
        assert "chatty/up-chat" in message
        assert "disabled" in message
