"""What a provider does wrong, and what its client is told."""

import json
import socket
from typing import Any

import pytest
from support.answers import (
    chat_delta,
    chat_error,
    chat_frames,
    message_start,
    messages_error,
    messages_frames,
    sse,
)
from support.fake_provider import Chunk, Drop, Flood, Head, Raw, Whole
from support.gateway import FORMATS, Stand, StandBuilder, ask_body, spoken_text

ERRORS = {"chat": chat_error, "messages": messages_error}
JSON = {"content-type": "application/json"}
HTML = {"content-type": "text/html"}
PAIRS = tuple((fmt, upstream) for fmt in FORMATS for upstream in FORMATS)
CROSS = (("chat", "messages"), ("messages", "chat"))


def error_object(fmt: str, body: Any) -> dict[str, Any]:
    """The error object of a body in the format's own shape."""
    if fmt == "messages":
        assert body["type"] == "error"
    error = body["error"]
    assert isinstance(error["message"], str)
    assert error["message"]
    assert isinstance(error["type"], str)
    return error


@pytest.mark.parametrize("fmt", FORMATS)
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("status", [400, 402, 404, 409, 413, 422, 429, 500, 503, 529])
async def test_a_provider_of_the_same_format_speaks_for_itself(
    stand: Stand, fmt: str, stream: bool, status: int
) -> None:
    body = json.dumps(ERRORS[fmt]("own words", "own_type") | {"extra": 1.0}).encode()
    stand.provider(fmt).enqueue(Whole(body, status, JSON | {"retry-after": "17"}))
    reply = await stand.gateway.ask(fmt, ask_body(fmt, fmt, stream=stream))
    assert reply.status == status
    assert reply.body == body
    assert reply.headers["retry-after"] == "17"
    row = await stand.gateway.row()
    assert (row["status"], row["http_status"]) == ("error", status)
    assert row["attempts"][0]["http_status"] == status
    assert row["error_message"] == "own words"


CHAT_SAYS = {
    400: (400, "invalid_request_error"),
    404: (404, "invalid_request_error"),
    413: (413, "invalid_request_error"),
    422: (400, "invalid_request_error"),
    429: (429, "rate_limit_error"),
    500: (500, "server_error"),
    529: (503, "server_error"),
}
MESSAGES_SAYS = {
    400: (400, "invalid_request_error"),
    404: (404, "not_found_error"),
    413: (413, "request_too_large"),
    422: (400, "invalid_request_error"),
    429: (429, "rate_limit_error"),
    500: (500, "api_error"),
    503: (529, "overloaded_error"),
}
ANTHROPIC_TYPES = {
    400: "invalid_request_error",
    404: "not_found_error",
    413: "request_too_large",
    422: "invalid_request_error",
    429: "rate_limit_error",
    500: "api_error",
    529: "overloaded_error",
}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("status", CHAT_SAYS)
async def test_an_anthropic_error_is_told_to_a_chat_client_in_its_terms(
    stand: Stand, stream: bool, status: int
) -> None:
    stand.messages.enqueue(
        Whole(
            messages_error("The vendor's words.", ANTHROPIC_TYPES[status]),
            status,
            JSON | {"retry-after": "17"},
        )
    )
    reply = await stand.gateway.ask("chat", ask_body("chat", "messages", stream=stream))
    error = error_object("chat", reply.json())
    assert reply.status in (CHAT_SAYS[status][0], status, 502)
    if status not in (422, 500):
        assert (reply.status, error["type"]) == CHAT_SAYS[status]
    assert "The vendor's words." in error["message"]
    assert reply.headers["retry-after"] == "17"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("status", MESSAGES_SAYS)
async def test_an_openai_error_is_told_to_a_messages_client_in_its_terms(
    stand: Stand, stream: bool, status: int
) -> None:
    kind = "server_error" if status >= 500 else "invalid_request_error"
    stand.chat.enqueue(
        Whole(chat_error("The vendor's words.", kind), status, JSON | {"retry-after": "17"})
    )
    reply = await stand.gateway.ask("messages", ask_body("messages", "chat", stream=stream))
    error = error_object("messages", reply.json())
    assert reply.status in (MESSAGES_SAYS[status][0], status, 502)
    if status not in (422, 500):
        assert (reply.status, error["type"]) == MESSAGES_SAYS[status]
    assert "The vendor's words." in error["message"]
    assert reply.headers["retry-after"] == "17"


@pytest.mark.parametrize(("fmt", "upstream"), PAIRS)
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("status", [401, 403])
async def test_a_provider_that_refuses_our_credential_is_a_bad_gateway(
    stand: Stand, fmt: str, upstream: str, stream: bool, status: int
) -> None:
    stand.provider(upstream).enqueue(
        Whole(ERRORS[upstream]("bad key", "authentication_error"), status)
    )
    reply = await stand.gateway.ask(fmt, ask_body(fmt, upstream, stream=stream))
    assert reply.status == 502
    error = error_object(fmt, reply.json())
    assert error["type"] == ("server_error" if fmt == "chat" else "api_error")
    row = await stand.gateway.row()
    assert row["http_status"] == 502
    assert row["attempts"][0]["http_status"] == status


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


@pytest.mark.parametrize(("fmt", "upstream"), PAIRS)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("status", [400, 500])
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
@pytest.mark.parametrize("stream", [False, True])
async def test_a_provider_that_echoes_our_key_does_not_tell_it_to_the_client(
    stand: Stand, fmt: str, upstream: str, stream: bool
) -> None:
    key = getattr(stand.secrets, f"{upstream}_provider")
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
    key = getattr(stand.secrets, f"{upstream}_provider")
    error = ERRORS[upstream](f"Bad key {key}", "api_error")
    event = sse(error, "error" if upstream == "messages" else None)
    if where == "first":
        stand.provider(upstream).enqueue(Head(), Chunk(event))
    elif where == "later":
        frames = chat_frames() if upstream == "chat" else messages_frames()
        stand.provider(upstream).enqueue(Head(), *map(Chunk, frames[:3]), Chunk(event))
    else:
        stand.provider(upstream).enqueue(Whole(error))
    reply = await stand.gateway.ask(fmt, ask_body(fmt, upstream, stream=where != "whole"))
    assert key not in reply.text
    assert key not in json.dumps(await stand.gateway.row())


@pytest.mark.parametrize("fmt", FORMATS)
async def test_secret_configured_headers_are_scrubbed_too(
    stand_builder: StandBuilder, fmt: str
) -> None:
    provider = "chatty" if fmt == "chat" else "anthro"
    secret = stand_builder.secrets.other + "-header"
    stand_builder.config["providers"][provider]["headers"] = {"x-tenant-token": secret}
    async with stand_builder.started() as stand:
        stand.provider(fmt).enqueue(Whole(ERRORS[fmt](f"tenant {secret} blocked"), 400))
        reply = await stand.gateway.ask(fmt, ask_body(fmt, fmt))
        assert secret not in reply.text
        assert secret not in json.dumps(await stand.gateway.row())


@pytest.mark.parametrize(("fmt", "upstream"), PAIRS)
@pytest.mark.parametrize("pieces", [1, 5, 1000])
async def test_an_error_event_before_any_content_becomes_an_http_status(
    stand: Stand, fmt: str, upstream: str, pieces: int
) -> None:
    if upstream == "messages":
        stream = b": hi\n\n" + sse(messages_error("Overloaded", "overloaded_error"), "error")
    else:
        stream = b": hi\n\n" + sse(chat_error("Overloaded", "server_error", "overloaded"))
    size = max(1, len(stream) // pieces)
    chunks = [Chunk(stream[at : at + size]) for at in range(0, len(stream), size)]
    stand.provider(upstream).enqueue(Head(), *chunks)
    reply = await stand.gateway.ask(fmt, ask_body(fmt, upstream, stream=True))
    assert reply.status in (500, 502, 503, 529)
    if upstream == "messages":
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
    if upstream == "messages":
        frames = [message_start(), sse(messages_error("Overloaded", "overloaded_error"), "error")]
    else:
        frames = [chat_delta({"role": "assistant", "content": ""}), sse(chat_error("Overloaded"))]
    stand.provider(upstream).enqueue(Head(), *map(Chunk, frames))
    reply = await stand.gateway.ask(fmt, ask_body(fmt, upstream, stream=True))
    assert "Overloaded" in reply.text
    assert b"[DONE]" not in reply.body
    assert b"message_stop" not in reply.body


@pytest.mark.parametrize(("fmt", "upstream"), PAIRS)
async def test_an_error_event_in_mid_stream_ends_it_in_band(
    stand: Stand, fmt: str, upstream: str
) -> None:
    if upstream == "messages":
        frames = messages_frames()[:4]
        frames.append(sse(messages_error("Overloaded", "overloaded_error"), "error"))
    else:
        frames = [*chat_frames()[:3], sse(chat_error("Overloaded", "server_error"))]
    stand.provider(upstream).enqueue(Head(), *map(Chunk, frames))
    reply = await stand.gateway.ask(fmt, ask_body(fmt, upstream, stream=True))
    assert reply.status == 200
    _assert_ends_with_error(fmt, reply.events(), "Overloaded")
    assert spoken_text(fmt, _without_error(reply.events())) == "Teal is a"
    row = await stand.gateway.row()
    assert (row["status"], row["http_status"]) == ("error", 200)
    assert row["error_message"] == "Overloaded"
    assert row["attempts"][0]["status"] == "failed"
    if fmt == upstream:
        assert reply.body == b"".join(frames)


def _without_error(events: list[Any]) -> list[Any]:
    return [event for event in events if event == "[DONE]" or "error" not in event]


def _assert_ends_with_error(fmt: str, events: list[Any], words: str) -> None:
    assert words in error_object(fmt, events[-1])["message"]
    assert "[DONE]" not in events
    assert all(event.get("type") != "message_stop" for event in events)
    assert sum("error" in event for event in events) == 1


@pytest.mark.parametrize(("fmt", "upstream"), PAIRS)
@pytest.mark.parametrize("how", ["dropped", "ended"])
@pytest.mark.parametrize("inside", [False, True], ids=["between frames", "inside a frame"])
async def test_a_stream_that_is_cut_ends_with_an_error_in_band(
    stand: Stand, fmt: str, upstream: str, how: str, inside: bool
) -> None:
    frames = chat_frames()[:3] if upstream == "chat" else messages_frames()[:4]
    steps: list[Any] = [Head(), *map(Chunk, frames)]
    if inside:
        steps.append(Chunk(b'data: {"half'))
    if how == "dropped":
        steps.append(Drop())
    stand.provider(upstream).enqueue(*steps)
    reply = await stand.gateway.ask(fmt, ask_body(fmt, upstream, stream=True))
    assert reply.status == 200
    assert spoken_text(fmt, _without_error(reply.events())) == "Teal is a"
    _assert_ends_with_error(fmt, reply.events(), "")
    row = await stand.gateway.row()
    assert row["status"] == "error"
    assert row["error_code"] in ("upstream_cut", "upstream_garbled")
    assert row["tokens_estimated"] == 1


@pytest.mark.parametrize("fmt", FORMATS)
async def test_a_chat_stream_without_done_but_finished_is_complete(stand: Stand, fmt: str) -> None:
    stand.chat.enqueue(Head(), *map(Chunk, chat_frames()[:-1]))
    reply = await stand.gateway.ask(fmt, ask_body(fmt, "chat", stream=True))
    assert spoken_text(fmt, reply.events()) == "Teal is a colour."
    assert (await stand.gateway.row())["status"] == "success"
    last = reply.events()[-1]
    assert last == "[DONE]" if fmt == "chat" else last["type"] == "message_stop"


@pytest.mark.parametrize(("fmt", "upstream"), PAIRS)
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("body", [b"", b"   ", b"data: [DONE]\n\n", b": only a comment\n\n"])
async def test_an_empty_answer_is_a_bad_gateway(
    stand: Stand, fmt: str, upstream: str, stream: bool, body: bytes
) -> None:
    headers = {"content-type": "text/event-stream" if stream else "application/json"}
    stand.provider(upstream).enqueue(Whole(body, 200, headers))
    reply = await stand.gateway.ask(fmt, ask_body(fmt, upstream, stream=stream))
    assert reply.status == 502
    error_object(fmt, reply.json())


@pytest.mark.parametrize(("fmt", "upstream"), PAIRS)
@pytest.mark.parametrize(
    "body", [b"<html>hello</html>", b"{", b"[]", b'"text"', b"null", b"\xff\xfe\x00"]
)
async def test_a_200_that_is_no_answer_is_a_bad_gateway(
    stand: Stand, fmt: str, upstream: str, body: bytes
) -> None:
    stand.provider(upstream).enqueue(Whole(body))
    reply = await stand.gateway.ask(fmt, ask_body(fmt, upstream))
    assert reply.status == 502
    error_object(fmt, reply.json())
    row = await stand.gateway.row()
    assert (row["status"], row["error_code"]) == ("error", "upstream_garbled")


@pytest.mark.parametrize(("fmt", "upstream"), PAIRS)
@pytest.mark.parametrize("stream", [False, True])
async def test_an_error_object_with_status_200_is_an_error(
    stand: Stand, fmt: str, upstream: str, stream: bool
) -> None:
    error = ERRORS[upstream]("Slow down.", "rate_limit_error")
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
    assert reply.status == 502


@pytest.mark.parametrize(("fmt", "upstream"), PAIRS)
@pytest.mark.provider_breaks_grammar
async def test_broken_json_in_mid_stream_ends_it_in_band(
    stand: Stand, fmt: str, upstream: str
) -> None:
    frames = chat_frames()[:3] if upstream == "chat" else messages_frames()[:4]
    stand.provider(upstream).enqueue(
        Head(), *map(Chunk, frames), Chunk(b'data: {"choices": [}\n\n'), Chunk(frames[-1])
    )
    reply = await stand.gateway.ask(fmt, ask_body(fmt, upstream, stream=True))
    events_after = reply.body.decode()
    assert "[DONE]" not in events_after
    assert "message_stop" not in events_after
    assert "error" in events_after
    assert (await stand.gateway.row())["status"] == "error"


@pytest.mark.parametrize(("fmt", "upstream"), PAIRS)
@pytest.mark.provider_breaks_grammar
async def test_a_line_that_never_ends_is_bounded(stand: Stand, fmt: str, upstream: str) -> None:
    opening = chat_frames()[1] if upstream == "chat" else message_start()
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


@pytest.mark.parametrize(("fmt", "upstream"), PAIRS)
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("address", ["http://127.0.0.1:{port}/v1", "http://no-such-host.invalid"])
async def test_a_provider_that_cannot_be_reached_is_a_bad_gateway(
    stand_builder: StandBuilder, fmt: str, upstream: str, stream: bool, address: str
) -> None:
    provider = "chatty" if upstream == "chat" else "anthro"
    url = address.format(port=_closed_port())
    stand_builder.config["providers"][provider]["api_base_url"] = {upstream: url}
    async with stand_builder.started() as stand:
        reply = await stand.gateway.ask(fmt, ask_body(fmt, upstream, stream=stream))
        assert reply.status == 502
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
    provider = "chatty" if fmt == "chat" else "anthro"
    address = stand_builder.chat.url.replace("http:", "https:")
    stand_builder.config["providers"][provider]["api_base_url"] = {fmt: address}
    async with stand_builder.started() as stand:
        reply = await stand.gateway.ask(fmt, ask_body(fmt, fmt))
        assert reply.status == 502
        assert (await stand.gateway.row())["error_code"] == "upstream_tls"


@pytest.mark.parametrize(("fmt", "upstream"), PAIRS)
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
    assert reply.status == 502
    error_object(fmt, reply.json())
    assert (await stand.gateway.ask(fmt, ask_body(fmt, upstream))).status == 200


@pytest.mark.parametrize("fmt", FORMATS)
async def test_context_overflow_keeps_its_meaning_across_formats(stand: Stand, fmt: str) -> None:
    upstream = "messages" if fmt == "chat" else "chat"
    if upstream == "messages":
        error = messages_error(
            "prompt is too long: 210000 tokens > 200000", "invalid_request_error"
        )
    else:
        error = chat_error("Too many tokens.", "invalid_request_error", "context_length_exceeded")
    stand.provider(upstream).enqueue(Whole(error, 400))
    reply = await stand.gateway.ask(fmt, ask_body(fmt, upstream))
    told = error_object(fmt, reply.json())
    assert reply.status == 400
    if fmt == "chat":
        assert told["code"] == "context_length_exceeded"
    else:
        assert "prompt is too long" in told["message"]


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
