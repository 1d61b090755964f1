"""Each phase of an attempt has its own limit and its own error code."""

import asyncio
import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from support.answers import chat_frames, messages_frames
from support.fake_provider import Chunk, Hang, Head, Pause, Step, Unread
from support.gateway import FORMATS, StandBuilder, ask_body

PAIRS = tuple((fmt, upstream) for fmt in FORMATS for upstream in FORMATS)
OPENING = {"chat": chat_frames()[:3], "messages": messages_frames()[:4]}

HANGS: dict[str, tuple[tuple[Step, ...], str]] = {
    "headers_s": ((Hang(),), "upstream_headers_timeout"),
    "first_content_s": ((Head(), Chunk(b": hi\n\n"), Hang()), "upstream_first_content_timeout"),
    "total_s": ((Hang(),), "upstream_timeout"),
}


def _limit(builder: StandBuilder, upstream: str, place: str, **limits: float) -> None:
    if place == "global":
        builder.config["timeouts"] = limits
    else:
        builder.config["timeouts"] = dict.fromkeys(limits, 60)
        provider = "chatty" if upstream == "chat" else "anthro"
        builder.config["providers"][provider]["timeouts"] = limits


@pytest.mark.parametrize(("fmt", "upstream"), PAIRS)
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("limit", HANGS)
@pytest.mark.parametrize("place", ["global", "provider"])
async def test_silence_before_the_first_content_is_a_504_with_the_phases_code(
    stand_builder: StandBuilder, fmt: str, upstream: str, stream: bool, limit: str, place: str
) -> None:
    steps, code = HANGS[limit]
    _limit(stand_builder, upstream, place, **{limit: 0.15})
    async with stand_builder.started() as stand:
        stand.provider(upstream).enqueue(*steps)
        reply = await stand.gateway.ask(fmt, ask_body(fmt, upstream, stream=stream))
        assert reply.status == 504
        error = reply.json()["error"]
        assert error["type"] == ("server_error" if fmt == "chat" else "timeout_error")
        if fmt == "chat":
            assert error["code"] == code
        row = await stand.gateway.row()
        assert (row["status"], row["error_code"], row["http_status"]) == ("timeout", code, 504)
        assert row["attempts"][0]["error_code"] == code
        received = stand.provider(upstream).last
        async with asyncio.timeout(2):
            await received.over.wait()
        assert received.cut


@pytest.mark.parametrize(("fmt", "upstream"), PAIRS)
async def test_a_stream_that_falls_silent_is_a_stall_told_in_band(
    stand_builder: StandBuilder, fmt: str, upstream: str
) -> None:
    _limit(stand_builder, upstream, "global", idle_s=0.3)
    async with stand_builder.started() as stand:
        stand.provider(upstream).enqueue(Head(), *map(Chunk, OPENING[upstream]), Hang())
        reply = await stand.gateway.ask(fmt, ask_body(fmt, upstream, stream=True))
        assert reply.status == 200
        _assert_error_at_end(fmt, reply.events())
        row = await stand.gateway.row()
        assert (row["status"], row["error_code"]) == ("stall", "upstream_idle_timeout")
        assert row["http_status"] == 200
        assert row["output_tokens"] > 0
        async with asyncio.timeout(2):
            await stand.provider(upstream).last.over.wait()
        assert stand.provider(upstream).last.cut


@pytest.mark.parametrize(("fmt", "upstream"), PAIRS)
async def test_a_stream_that_takes_too_long_altogether_is_ended_in_band(
    stand_builder: StandBuilder, fmt: str, upstream: str
) -> None:
    _limit(stand_builder, upstream, "global", total_s=0.5, idle_s=5)
    async with stand_builder.started() as stand:
        dribble: list[Step] = []
        for _ in range(100):
            dribble += [Chunk(OPENING[upstream][-1]), Pause(0.02)]
        stand.provider(upstream).enqueue(Head(), *map(Chunk, OPENING[upstream]), *dribble)
        reply = await stand.gateway.ask(fmt, ask_body(fmt, upstream, stream=True))
        assert reply.status == 200
        _assert_error_at_end(fmt, reply.events())
        row = await stand.gateway.row()
        assert (row["status"], row["error_code"]) == ("timeout", "upstream_timeout")
        assert row["duration_ms"] < 2000


@pytest.mark.parametrize(("fmt", "upstream"), PAIRS)
async def test_a_steady_stream_may_last_longer_than_every_phase_limit(
    stand_builder: StandBuilder, fmt: str, upstream: str
) -> None:
    _limit(stand_builder, upstream, "global", headers_s=0.4, first_content_s=0.4, idle_s=0.8)
    async with stand_builder.started() as stand:
        frames = chat_frames("abcdefghij") if upstream == "chat" else messages_frames("abcdefghij")
        steps: list[Step] = [Head()]
        for frame in frames:
            steps += [Chunk(frame), Pause(0.1)]
        stand.provider(upstream).enqueue(*steps)
        reply = await stand.gateway.ask(fmt, ask_body(fmt, upstream, stream=True))
        assert (await stand.gateway.row())["status"] == "success"
        assert b"error" not in reply.body


@pytest.mark.parametrize("fmt", FORMATS)
async def test_a_whole_answer_that_dribbles_in_is_ended_by_the_total_limit(
    stand_builder: StandBuilder, fmt: str
) -> None:
    _limit(stand_builder, fmt, "global", total_s=0.3)
    async with stand_builder.started() as stand:
        dribble: list[Step] = []
        for _ in range(100):
            dribble += [Chunk(b" "), Pause(0.02)]
        stand.provider(fmt).enqueue(Head(200, {"content-type": "application/json"}), *dribble)
        reply = await stand.gateway.ask(fmt, ask_body(fmt, fmt))
        assert reply.status == 504
        assert (await stand.gateway.row())["error_code"] == "upstream_timeout"


@pytest.mark.parametrize(("fmt", "upstream"), PAIRS)
async def test_a_provider_that_does_not_read_the_body_is_a_write_time_out(
    stand_builder: StandBuilder, fmt: str, upstream: str
) -> None:
    _limit(stand_builder, upstream, "global", write_s=0.3)
    async with stand_builder.started() as stand:
        stand.provider(upstream).enqueue(Unread(), Hang())
        body = ask_body(fmt, upstream)
        body["messages"][0]["content"] = "x" * 20_000_000
        reply = await stand.gateway.ask(fmt, body)
        assert reply.status == 504
        assert (await stand.gateway.row())["error_code"] == "upstream_write_timeout"


@contextmanager
def _deaf_port() -> Iterator[int]:
    """A listening port whose queue is full: connecting to it never ends."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port: int = listener.getsockname()[1]
        waiting: list[socket.socket] = []
        try:
            for _ in range(8):
                each = socket.socket()
                each.setblocking(False)
                each.connect_ex(("127.0.0.1", port))
                waiting.append(each)
            yield port
        finally:
            for each in waiting:
                each.close()


@pytest.mark.parametrize("fmt", FORMATS)
async def test_a_provider_that_does_not_accept_is_a_connect_time_out(
    stand_builder: StandBuilder, fmt: str
) -> None:
    _limit(stand_builder, fmt, "global", connect_s=0.3)
    provider = "chatty" if fmt == "chat" else "anthro"
    with _deaf_port() as port:
        stand_builder.config["providers"][provider]["api_base_url"] = {
            fmt: f"http://127.0.0.1:{port}/v1"
        }
        async with stand_builder.started() as stand:
            reply = await stand.gateway.ask(fmt, ask_body(fmt, fmt))
            assert reply.status == 504
            assert (await stand.gateway.row())["error_code"] == "upstream_connect_timeout"


@pytest.mark.parametrize("stream", [False, True])
async def test_the_later_releases_spelling_sets_the_total_limit(
    stand_builder: StandBuilder, stream: bool
) -> None:
    stand_builder.config["providers"]["chatty"]["timeoutMs"] = 200
    async with stand_builder.started() as stand:
        stand.chat.enqueue(Hang())
        reply = await stand.gateway.ask("chat", ask_body("chat", "chat", stream=stream))
        assert reply.status == 504
        assert (await stand.gateway.row())["error_code"] == "upstream_timeout"


async def test_a_request_after_a_time_out_is_served_as_ever(stand_builder: StandBuilder) -> None:
    _limit(stand_builder, "chat", "global", headers_s=0.1)
    async with stand_builder.started() as stand:
        stand.chat.enqueue(Hang())
        assert (await stand.gateway.ask("chat", ask_body("chat", "chat"))).status == 504
        assert (await stand.gateway.ask("chat", ask_body("chat", "chat"))).status == 200


def _assert_error_at_end(fmt: str, events: list[Any]) -> None:
    assert events[-1]["error"]["message"]
    assert "[DONE]" not in events
    assert "message_stop" not in json.dumps(events)
    if fmt == "messages":
        assert events[-1]["type"] == "error"
