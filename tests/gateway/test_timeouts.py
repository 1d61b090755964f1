"""Each phase of an attempt has its own limit and its own error code."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from support.answers import VOICES
from support.fake_provider import Chunk, Hang, Head, Pause, Step, Unread
from support.gateway import (
    FORMATS,
    SOME_PAIRS,
    Reply,
    Stand,
    StandBuilder,
    ask_body,
    error_object,
)
from support.judges import read_stream

OPENING = {fmt: VOICES[fmt].opening() for fmt in FORMATS}

HANGS: dict[str, tuple[tuple[Step, ...], str]] = {
    "headers_s": ((Hang(),), "upstream_headers_timeout"),
    "first_content_s": ((Head(), Chunk(b": hi\n\n"), Hang()), "upstream_first_content_timeout"),
    "total_s": ((Hang(),), "upstream_timeout"),
}


def _assert_timed_out(fmt: str, reply: Reply, code: str) -> None:
    assert reply.status == 504
    error = error_object(fmt, reply.json())
    match fmt:
        case "messages":
            assert error["type"] == "timeout_error"
        case "gemini":
            assert (error["code"], error["status"]) == (504, "DEADLINE_EXCEEDED")
        case _:
            assert (error["type"], error["code"]) == ("server_error", code)


@pytest.mark.parametrize(("fmt", "upstream"), SOME_PAIRS)
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("limit", HANGS)
async def test_silence_before_the_first_content_is_a_504_with_the_phases_code(
    stand_builder: StandBuilder, fmt: str, upstream: str, stream: bool, limit: str
) -> None:
    steps, code = HANGS[limit]
    stand_builder.config["timeouts"] = {limit: 0.15}
    async with stand_builder.started() as stand:
        stand.provider(upstream).enqueue(*steps)
        reply = await stand.gateway.ask(fmt, ask_body(fmt, upstream, stream=stream))
        _assert_timed_out(fmt, reply, code)
        row = await stand.gateway.row()
        assert (row["status"], row["error_code"], row["http_status"]) == ("timeout", code, 504)
        assert row["attempts"][0]["error_code"] == code
        received = stand.provider(upstream).last
        async with asyncio.timeout(2):
            await received.over.wait()
        assert received.cut


@pytest.mark.parametrize("fmt", FORMATS)
@pytest.mark.parametrize("limit", HANGS)
async def test_a_providers_own_limit_goes_before_the_general_one(
    stand_builder: StandBuilder, fmt: str, limit: str
) -> None:
    steps, code = HANGS[limit]
    stand_builder.config["timeouts"] = {limit: 60}
    stand_builder.provider_config(fmt)["timeouts"] = {limit: 0.15}
    async with stand_builder.started() as stand:
        stand.provider(fmt).enqueue(*steps)
        reply = await stand.gateway.ask(fmt, ask_body(fmt, fmt, stream=True))
        _assert_timed_out(fmt, reply, code)
        assert (await stand.gateway.row())["error_code"] == code


async def _from_all(stand: Stand, fmt: str) -> dict[str, Reply]:
    """The stream of each provider, all asked at once."""
    bodies = [ask_body(fmt, upstream, stream=True) for upstream in FORMATS]
    replies = await asyncio.gather(*(stand.gateway.ask(fmt, body) for body in bodies))
    return dict(zip(FORMATS, replies, strict=True))


async def _rows(stand: Stand) -> list[dict[str, Any]]:
    rows = await stand.gateway.rows(len(FORMATS))
    assert {row["provider_format"] for row in rows} == set(FORMATS)
    return rows


def _steadily(fmt: str, pieces: int, gap_s: float) -> list[Step]:
    """An answer that takes its time."""
    steps: list[Step] = [Head()]
    for frame in VOICES[fmt].frames(["x"] * pieces):
        steps += [Chunk(frame), Pause(gap_s)]
    return steps


@pytest.mark.parametrize("fmt", FORMATS)
async def test_a_stream_that_falls_silent_is_a_stall_told_in_band(
    stand_builder: StandBuilder, fmt: str
) -> None:
    stand_builder.config["timeouts"] = {"idle_s": 0.3}
    async with stand_builder.started() as stand:
        for upstream, provider in stand.providers.items():
            provider.enqueue(Head(), *map(Chunk, OPENING[upstream]), Hang())
        for reply in (await _from_all(stand, fmt)).values():
            assert reply.status == 200
            answer = read_stream(fmt, reply.body)
            assert answer.text == "Teal is a"
            assert answer.error is not None
        for row in await _rows(stand):
            assert (row["status"], row["error_code"]) == ("stall", "upstream_idle_timeout")
            assert row["http_status"] == 200
            assert row["output_tokens"] > 0
        for provider in stand.providers.values():
            async with asyncio.timeout(2):
                await provider.last.over.wait()
            assert provider.last.cut


@pytest.mark.parametrize("fmt", FORMATS)
async def test_a_stream_that_takes_too_long_altogether_is_ended_in_band(
    stand_builder: StandBuilder, fmt: str
) -> None:
    stand_builder.config["timeouts"] = {"total_s": 0.5, "idle_s": 5}
    async with stand_builder.started() as stand:
        for upstream, provider in stand.providers.items():
            provider.enqueue(*_steadily(upstream, 200, 0.02))
        for reply in (await _from_all(stand, fmt)).values():
            assert reply.status == 200
            answer = read_stream(fmt, reply.body)
            assert 0 < answer.text.count("x") < 100
            assert answer.error is not None
        for row in await _rows(stand):
            assert (row["status"], row["error_code"]) == ("timeout", "upstream_timeout")
            assert row["duration_ms"] < 2000


@pytest.mark.parametrize("fmt", FORMATS)
async def test_a_steady_stream_may_last_longer_than_every_phase_limit(
    stand_builder: StandBuilder, fmt: str
) -> None:
    limits = {"headers_s": 0.4, "first_content_s": 0.6, "idle_s": 0.8}
    stand_builder.config["timeouts"] = limits
    async with stand_builder.started() as stand:
        for upstream, provider in stand.providers.items():
            provider.enqueue(*_steadily(upstream, 10, 0.1))
        for reply in (await _from_all(stand, fmt)).values():
            answer = read_stream(fmt, reply.body)
            assert (answer.text, answer.error) == ("x" * 10, None)
        assert {row["status"] for row in await _rows(stand)} == {"success"}


@pytest.mark.parametrize("fmt", FORMATS)
async def test_a_whole_answer_that_dribbles_in_is_ended_by_the_total_limit(
    stand_builder: StandBuilder, fmt: str
) -> None:
    stand_builder.config["timeouts"] = {"total_s": 0.3}
    async with stand_builder.started() as stand:
        dribble: list[Step] = []
        for _ in range(100):
            dribble += [Chunk(b" "), Pause(0.02)]
        stand.provider(fmt).enqueue(Head(200, {"content-type": "application/json"}), *dribble)
        reply = await stand.gateway.ask(fmt, ask_body(fmt, fmt))
        assert reply.status == 504
        assert (await stand.gateway.row())["error_code"] == "upstream_timeout"


@pytest.mark.parametrize(("fmt", "upstream"), SOME_PAIRS)
async def test_a_provider_that_does_not_read_the_body_is_a_write_time_out(
    stand_builder: StandBuilder, fmt: str, upstream: str
) -> None:
    stand_builder.config["timeouts"] = {"write_s": 0.3}
    async with stand_builder.started() as stand:
        stand.provider(upstream).enqueue(Unread(), Hang())
        body = ask_body(fmt, upstream, question="x" * 20_000_000)
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
    stand_builder.config["timeouts"] = {"connect_s": 0.3}
    with _deaf_port() as port:
        address = f"http://127.0.0.1:{port}/v1"
        stand_builder.provider_config(fmt)["api_base_url"] = {fmt: address}
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
    stand_builder.config["timeouts"] = {"headers_s": 0.1}
    async with stand_builder.started() as stand:
        stand.chat.enqueue(Hang())
        assert (await stand.gateway.ask("chat", ask_body("chat", "chat"))).status == 504
        assert (await stand.gateway.ask("chat", ask_body("chat", "chat"))).status == 200
