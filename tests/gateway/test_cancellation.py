"""A client that leaves takes its upstream request along, on every path."""

import asyncio
import time
from typing import Any

import aiohttp
import pytest
from support.answers import VOICES, chat_frames
from support.fake_provider import Chunk, FakeProvider, Flood, Hang, Head, Step, Unread, Until
from support.gateway import FORMATS, PAIRS, PATHS, PROVIDERS, Stand, ask_body
from support.waiting import until

from plexus_proxy.limits.concurrency import PLACES
from plexus_proxy.upstream import stall

OPENING = {fmt: VOICES[fmt].opening() for fmt in FORMATS}
STREAMED = ask_body("chat", "chat", stream=True)
CUT_WITHIN_S = 0.1
SLACK_S = 0.4
"""The promise is 100 ms; a busy test machine gets this much on top."""


async def _opened(
    stand: Stand, fmt: str, body: dict[str, Any], session: aiohttp.ClientSession
) -> aiohttp.ClientResponse:
    return await stand.gateway.request(fmt, body, session=session)


async def _leave(stand: Stand, fmt: str, body: dict[str, Any], provider: FakeProvider) -> None:
    """Send a request over a connection of its own and break it once the provider has it."""
    async with aiohttp.ClientSession() as session:
        asking = asyncio.ensure_future(_opened(stand, fmt, body, session))
        await provider.arrived(len(provider.requests) + 1)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)


async def _leave_stream(stand: Stand, fmt: str, body: dict[str, Any]) -> None:
    """Read the first bytes of a stream, then break the connection."""
    async with aiohttp.ClientSession() as session:
        response = await _opened(stand, fmt, body, session)
        assert response.status == 200
        assert await response.content.readany()
        response.close()


async def _assert_cut(provider: FakeProvider, left_at: float) -> None:
    received = provider.last
    async with asyncio.timeout(5):
        await received.over.wait()
    assert received.cut
    assert received.cut_at is not None
    assert received.cut_at - left_at < CUT_WITHIN_S + SLACK_S


async def _assert_nothing_open(stand: Stand) -> None:
    """Nothing is held any more: no connection to a provider or a client that has left, no place
    at a target."""
    await until(lambda: not any(each.connections for each in stand.providers.values()))
    await until(lambda: not stand.gateway.open_requests)
    assert stand.gateway.app[PLACES].active() == {}


SILENCES: dict[str, tuple[Step, ...]] = {
    "before headers": (Hang(),),
    "after headers": (Head(), Hang()),
    "after a comment": (Head(), Chunk(b": hi\n\n"), Hang()),
}


@pytest.mark.parametrize(("fmt", "upstream"), PAIRS)
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("silence", SILENCES)
@pytest.mark.pitfall("P123")
async def test_leaving_while_the_upstream_is_silent_cancels_it(
    stand: Stand, fmt: str, upstream: str, stream: bool, silence: str
) -> None:
    provider = stand.provider(upstream)
    provider.enqueue(*SILENCES[silence])
    await _leave(stand, fmt, ask_body(fmt, upstream, stream=stream), provider)
    await _assert_cut(provider, time.monotonic())
    row = await stand.gateway.row()
    assert (row["status"], row["http_status"]) == ("cancelled", 499)
    assert row["error_code"] == "client_disconnected"
    assert row["attempts"][0]["status"] == "cancelled"
    assert row["provider"] == PROVIDERS[upstream]
    await _assert_nothing_open(stand)


@pytest.mark.parametrize(("fmt", "upstream"), PAIRS)
@pytest.mark.pitfall("P123", "B66")
async def test_leaving_in_mid_stream_cancels_it_and_keeps_what_is_known(
    stand: Stand, fmt: str, upstream: str
) -> None:
    provider = stand.provider(upstream)
    provider.enqueue(Head(), *map(Chunk, OPENING[upstream]), Hang())
    await _leave_stream(stand, fmt, ask_body(fmt, upstream, stream=True))
    await _assert_cut(provider, time.monotonic())
    row = await stand.gateway.row()
    assert (row["status"], row["http_status"]) == ("cancelled", 499)
    assert row["tokens_estimated"] == 1
    assert row["output_tokens"] > 0
    assert row["ttft_ms"] > 0
    if upstream == "messages":  # the prompt's tokens were stated at the start
        assert (row["input_tokens"], row["cache_read_tokens"]) == (17, 4)
    else:
        assert row["input_tokens"] > 0
    await _assert_nothing_open(stand)


@pytest.mark.parametrize(("fmt", "upstream"), PAIRS)
async def test_leaving_after_the_last_token_cancels_what_is_left(
    stand: Stand, fmt: str, upstream: str
) -> None:
    """All has been said, but the provider does not end the stream."""
    provider = stand.provider(upstream)
    voice = VOICES[upstream]
    provider.enqueue(Head(), *map(Chunk, voice.frames()[: voice.before_text + 3]), Hang())
    await _leave_stream(stand, fmt, ask_body(fmt, upstream, stream=True))
    await _assert_cut(provider, time.monotonic())
    row = await stand.gateway.row()
    assert row["status"] == "cancelled"
    assert row["output_tokens"] > 0
    await _assert_nothing_open(stand)


@pytest.mark.parametrize(("fmt", "upstream"), PAIRS)
async def test_leaving_a_stream_in_full_flow_cancels_it(
    stand: Stand, fmt: str, upstream: str
) -> None:
    provider = stand.provider(upstream)
    frames = OPENING[upstream]
    provider.enqueue(Head(), *map(Chunk, frames), Flood(frames[-1] * 20, 100_000))
    await _leave_stream(stand, fmt, ask_body(fmt, upstream, stream=True))
    await _assert_cut(provider, time.monotonic())
    assert (await stand.gateway.row())["status"] == "cancelled"
    await _assert_nothing_open(stand)


@pytest.mark.parametrize(("fmt", "upstream"), PAIRS)
async def test_leaving_in_the_middle_of_a_whole_answer_cancels_it(
    stand: Stand, fmt: str, upstream: str
) -> None:
    provider = stand.provider(upstream)
    provider.enqueue(Head(200, {"content-type": "application/json"}), Chunk(b'{"id":'), Hang())
    await _leave(stand, fmt, ask_body(fmt, upstream), provider)
    await _assert_cut(provider, time.monotonic())
    assert (await stand.gateway.row())["status"] == "cancelled"


@pytest.mark.parametrize("fmt", FORMATS)
async def test_leaving_while_the_request_is_being_sent_cancels_it(stand: Stand, fmt: str) -> None:
    provider = stand.provider(fmt)
    provider.enqueue(Unread(), Hang())
    body = ask_body(fmt, fmt, question="x" * 20_000_000)
    await _leave(stand, fmt, body, provider)
    row = await stand.gateway.row()
    assert row["status"] == "cancelled"


@pytest.mark.parametrize("fmt", FORMATS)
async def test_leaving_before_the_body_is_complete_is_a_cancelled_row(
    stand: Stand, fmt: str
) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", stand.gateway.port)
    writer.write(
        f"POST {PATHS[fmt]} HTTP/1.1\r\nhost: x\r\nx-api-key: {stand.secrets.app}\r\n"
        "content-type: application/json\r\ncontent-length: 100\r\n\r\n{".encode()
    )
    await writer.drain()
    await asyncio.sleep(0.1)
    writer.close()
    row = await stand.gateway.row()
    assert row["status"] == "cancelled"
    assert row["attempts"] == []


async def test_leaving_does_not_disturb_others_on_the_same_provider(stand: Stand) -> None:
    release = asyncio.Event()
    frames = [Chunk(frame) for frame in chat_frames()]
    stand.chat.enqueue(Head(), *frames[:2], Until(release), *frames[2:])
    stand.chat.enqueue(Head(), *frames[:2], Hang())
    staying = asyncio.ensure_future(
        stand.gateway.ask("chat", ask_body("chat", "chat", stream=True))
    )
    await stand.chat.arrived(1)
    await _leave_stream(stand, "chat", ask_body("chat", "chat", stream=True))
    async with asyncio.timeout(3):
        await stand.chat.requests[1].over.wait()
    assert not stand.chat.requests[0].cut
    release.set()
    assert (await staying).body.endswith(b"data: [DONE]\n\n")


async def test_two_hundred_clients_that_leave_leave_nothing_open(
    stand: Stand, caplog: pytest.LogCaptureFixture
) -> None:
    stand.chat.default = [Head(), *map(Chunk, OPENING["chat"]), Hang()]
    stand.messages.default = [Hang()]
    whole = ask_body("messages", "messages")

    async def leave_whole(session: aiohttp.ClientSession) -> None:
        await _opened(stand, "messages", whole, session)

    for wave in range(1, 5):
        async with aiohttp.ClientSession() as session:
            asking = [asyncio.ensure_future(leave_whole(session)) for _ in range(25)]
            await asyncio.gather(
                *(_leave_stream(stand, "chat", STREAMED) for _ in range(25)),
                stand.messages.arrived(25 * wave),
            )
            for task in asking:
                task.cancel()
            await asyncio.gather(*asking, return_exceptions=True)
    await _assert_nothing_open(stand)
    rows = await stand.gateway.rows(200)
    assert {row["status"] for row in rows} == {"cancelled"}
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


@pytest.mark.parametrize("fmt", FORMATS)
async def test_a_complete_answer_is_no_cancelled_row_though_the_client_hangs_up_at_once(
    stand: Stand, fmt: str
) -> None:
    async with aiohttp.ClientSession() as session:
        response = await _opened(stand, fmt, ask_body(fmt, fmt, stream=True), session)
        await response.read()
    assert (await stand.gateway.row())["status"] == "success"


async def test_keep_alives_to_clients_that_leave_disturb_nobody(
    stand: Stand, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(stall, "KEEPALIVE_S", 0.0)
    stand.chat.default = [Head(), *map(Chunk, OPENING["chat"]), Hang()]

    async def one(number: int) -> None:
        async with stand.gateway.request("chat", ask_body("chat", "chat", stream=True)) as response:
            await response.content.readany()
            await asyncio.sleep(number * 0.02)

    await asyncio.gather(*(one(number) for number in range(40)))
    await _assert_nothing_open(stand)
    assert not [record for record in caplog.records if record.levelname == "ERROR"]
