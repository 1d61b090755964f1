"""Streams arrive as they are made: chunk by chunk, no faster than the client reads."""

import asyncio
import json
import time

import aiohttp
import pytest
from support.answers import VOICES, chat_frames
from support.fake_provider import Chunk, Flood, Head, Pause, Received, Step, Until
from support.gateway import (
    CROSS,
    FORMATS,
    PAIRS,
    PATHS,
    Stand,
    StandBuilder,
    ask_body,
    asked,
    events_in,
    spoken_text,
)

FRAMES = {fmt: VOICES[fmt].frames() for fmt in FORMATS}
SOCKET_SLACK = 24_000_000
"""What the kernel may hold in the buffers of two loopback connections, generously."""


@pytest.mark.parametrize(("fmt", "upstream"), PAIRS)
@pytest.mark.pitfall("P22")
async def test_each_piece_reaches_the_client_before_the_next_is_made(
    stand: Stand, fmt: str, upstream: str
) -> None:
    """The provider goes on only after the client has read what there was."""
    pieces = [f"word{number} " for number in range(8)]
    frames = VOICES[upstream].frames(pieces)
    head = VOICES[upstream].before_text
    turns = [asyncio.Event() for _ in pieces]
    steps: list[Step] = [Head(), *map(Chunk, frames[:head])]
    for turn, frame in zip(turns, frames[head:], strict=False):
        steps += [Chunk(frame), Until(turn)]
    steps += map(Chunk, frames[head + len(pieces) :])
    stand.provider(upstream).enqueue(*steps)
    async with stand.gateway.request(fmt, ask_body(fmt, upstream, stream=True)) as response:
        seen = b""
        for turn, piece in zip(turns, pieces, strict=True):
            async with asyncio.timeout(3):
                while piece.strip().encode() not in seen:
                    seen += await response.content.readany()
            turn.set()
        seen += await response.read()
    assert spoken_text(fmt, events_in(seen)) == "".join(pieces)


@pytest.mark.parametrize("fmt", FORMATS)
async def test_gaps_between_chunks_are_kept(stand: Stand, fmt: str) -> None:
    steps: list[Step] = [Head()]
    for frame in FRAMES[fmt]:
        steps += [Chunk(frame), Pause(0.08)]
    stand.provider(fmt).enqueue(*steps)
    async with stand.gateway.request(fmt, ask_body(fmt, fmt, stream=True)) as response:
        arrivals = [time.monotonic() async for _ in response.content.iter_any()]
    assert len(arrivals) >= 4
    assert arrivals[-1] - arrivals[0] > 0.2


@pytest.mark.provider_breaks_grammar
async def test_the_head_of_a_stream_does_not_wait_for_more_than_its_first_content(
    stand: Stand,
) -> None:
    release = asyncio.Event()
    stand.chat.enqueue(Head(), Chunk(chat_frames()[1]), Until(release), *map(Chunk, chat_frames()))
    async with asyncio.timeout(2):
        async with stand.gateway.request("chat", ask_body("chat", "chat", stream=True)) as response:
            assert await response.content.readany() == chat_frames()[1]
            release.set()
            await response.read()
    assert response.headers["cache-control"] == "no-cache"
    assert response.headers["x-accel-buffering"] == "no"


@pytest.mark.parametrize(("fmt", "upstream"), CROSS)
@pytest.mark.pitfall("P39", "B65")
async def test_characters_split_over_chunks_come_through_whole(
    stand: Stand, fmt: str, upstream: str
) -> None:
    text = ["grün 😀", " \u2028 e\u0301", " 漢字"]
    stream = b"".join(VOICES[upstream].frames(text))
    stand.provider(upstream).enqueue(
        Head(), *(Chunk(stream[at : at + 1]) for at in range(len(stream)))
    )
    reply = await stand.gateway.ask(fmt, ask_body(fmt, upstream, stream=True))
    assert spoken_text(fmt, reply.events()) == "".join(text)


FLOODS = (
    ("messages", "messages", 1000),
    ("chat", "messages", 1000),
    ("messages", "responses", 1000),
    ("responses", "gemini", 600),  # whose end repeats the whole text four times
    ("gemini", "chat", 1000),
)


@pytest.mark.parametrize(("fmt", "upstream", "pieces"), FLOODS)
async def test_a_client_that_reads_nothing_pauses_the_upstream_and_loses_nothing(
    stand: Stand, fmt: str, upstream: str, pieces: int
) -> None:
    frames, cut = FRAMES[upstream], VOICES[upstream].before_text + 1
    piece = VOICES[upstream].delta("x" * 50_000)
    total = pieces * len(piece)
    provider = stand.provider(upstream)
    provider.enqueue(
        Head(), *map(Chunk, frames[:cut]), Flood(piece, pieces), *map(Chunk, frames[cut:])
    )
    body = ask_body(fmt, upstream, stream=True)
    async with aiohttp.ClientSession(read_bufsize=1024) as session:
        response = await stand.gateway.request(fmt, body, session=session)
        before, settled = -1, 0
        while settled < 4:  # until the flow has stopped by itself
            settled = settled + 1 if provider.last.sent_bytes == before else 0
            before = provider.last.sent_bytes
            await asyncio.sleep(0.1)
        assert 0 < before < min(SOCKET_SLACK, total / 2)
        stream = await response.read()
    assert spoken_text(fmt, events_in(stream)).count("x") == 50_000 * pieces
    row = await stand.gateway.row()
    assert row["status"] == "success"
    if fmt == upstream:
        expected = b"".join(frames[:cut]) + piece * pieces + b"".join(frames[cut:])
        assert stream == expected


async def test_a_client_that_is_behind_is_no_stall(stand_builder: StandBuilder) -> None:
    stand_builder.config["timeouts"] = {"idle_s": 0.5}
    async with stand_builder.started() as stand:
        piece = VOICES["chat"].delta("x" * 50_000)
        frames = chat_frames()
        stand.chat.enqueue(
            Head(), *map(Chunk, frames[:2]), Flood(piece, 1000), *map(Chunk, frames[2:])
        )
        async with aiohttp.ClientSession(read_bufsize=1024) as session:
            response = await session.post(
                stand.gateway.url + PATHS["chat"],
                json=ask_body("chat", "chat", stream=True),
                headers=stand.gateway.auth("chat"),
            )
            await asyncio.sleep(1.5)
            stream = await response.read()
        assert stream.endswith(b"data: [DONE]\n\n")
        assert (await stand.gateway.row())["status"] == "success"


async def test_a_http_1_0_client_reads_a_stream_to_the_end_of_the_connection(
    stand: Stand,
) -> None:
    body = json.dumps(ask_body("chat", "chat", stream=True)).encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", stand.gateway.port)
    writer.write(
        f"POST {PATHS['chat']} HTTP/1.0\r\nx-api-key: {stand.secrets.app}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n".encode()
        + body
    )
    async with asyncio.timeout(5):
        answer = await reader.read()
    writer.close()
    head, _, stream = answer.partition(b"\r\n\r\n")
    assert b" 200 " in head
    assert b"chunked" not in head.lower()
    assert stream == b"".join(chat_frames(usage=False))


async def test_many_streams_at_once_do_not_mix(stand: Stand) -> None:
    def answers(received: Received) -> list[Step]:
        word = asked("chat", received)["messages"][0]["content"]
        steps: list[Step] = [Head()]
        for frame in chat_frames([word] * 10):
            steps += [Chunk(frame), Pause(0.005)]
        return steps

    stand.chat.default = answers

    async def one(number: int) -> None:
        fmt = FORMATS[number % len(FORMATS)]
        body = ask_body(fmt, "chat", stream=True, question=f"w{number}-")
        reply = await stand.gateway.ask(fmt, body)
        assert spoken_text(fmt, reply.events()) == f"w{number}-" * 10

    await asyncio.gather(*(one(number) for number in range(60)))
    rows = await stand.gateway.rows(60)
    assert {row["status"] for row in rows} == {"success"}
