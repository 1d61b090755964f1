"""Long runs: what leaks slowly shows up here."""

import asyncio
import gc
import logging
import random
import tracemalloc

import aiohttp
import pytest
from support.answers import VOICES, chat_frames
from support.fake_provider import Chunk, Drop, Hang, Head, Pause, Received, Step, Whole
from support.gateway import FORMATS, Stand, ask_body
from support.grammar_watch import forget_cut_streams
from support.waiting import until

from plexus_proxy.limits.concurrency import PLACES

pytestmark = pytest.mark.long

ROUNDS = 400
CLIENTS = 25
GROWTH_BYTES = 4_000_000


def _moody(fmt: str, dice: random.Random) -> "object":
    """A provider that is mostly well and sometimes fails in one of many ways."""
    frames = VOICES[fmt].frames()

    def answers(received: Received) -> list[Step]:
        whole: list[Step] = [Head()]
        for frame in frames:
            whole += [Chunk(frame), Pause(0.002)]
        return dice.choice(
            [
                whole,
                whole,
                whole,
                [Head(), *map(Chunk, frames[:3]), Drop()],
                [Whole({"error": {"message": "no", "type": "x"}}, 500)],
                [Drop()],
                [Hang()],
                [Head(), *map(Chunk, frames[:3]), Hang()],
            ]
        )

    return answers


async def _one(stand: Stand, dice: random.Random) -> bool:
    """True if the gateway answered before the client had enough: then there is a row for sure."""
    fmt, upstream = dice.choice(FORMATS), dice.choice(FORMATS)
    timeout = aiohttp.ClientTimeout(total=dice.choice((0.05, 0.3)))
    answered = False
    async with aiohttp.ClientSession(timeout=timeout) as session:
        try:
            body = ask_body(fmt, upstream, stream=True)
            async with stand.gateway.request(fmt, body, session=session) as response:
                answered = True
                await response.read()
        except (TimeoutError, aiohttp.ClientError):
            pass
    return answered


@pytest.mark.timeout(900)
async def test_ten_thousand_broken_requests_leave_no_connection_task_place_or_memory(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The providers' server logs each connection that is cut; captured tracebacks hold all they saw.
    monkeypatch.setattr(logging.getLogger("aiohttp.server"), "disabled", True)
    dice = random.Random(7)
    for fmt, provider in stand.providers.items():
        provider.default = _moody(fmt, dice)  # type: ignore[assignment]

    answered = 0

    async def rounds(count: int) -> None:
        nonlocal answered
        for _ in range(count):
            answered += sum(await asyncio.gather(*(_one(stand, dice) for _ in range(CLIENTS))))
            for provider in stand.providers.values():
                provider.requests.clear()
            await until(lambda: not stand.gateway.open_requests)
            forget_cut_streams()  # none of them goes on
        await until(lambda: not any(provider.open for provider in stand.providers.values()))

    await rounds(5)
    tasks = len(asyncio.all_tasks())
    gc.collect()
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    await rounds(ROUNDS)
    gc.collect()
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert after - before < GROWTH_BYTES
    assert len(asyncio.all_tasks()) <= tasks + 20
    assert stand.gateway.app[PLACES].active() == {}
    rows = await stand.gateway.rows(answered, timeout=30)
    assert (ROUNDS * CLIENTS) / 2 < len(rows) <= (ROUNDS + 5) * CLIENTS
    assert {row["status"] for row in rows} <= {"success", "error", "cancelled", "timeout"}


@pytest.mark.timeout(900)
async def test_a_thousand_slow_streams_are_served_at_once(stand: Stand) -> None:
    frames = chat_frames([f"{number} " for number in range(20)])
    steps: list[Step] = [Head()]
    for frame in frames:
        steps += [Chunk(frame), Pause(0.5)]
    stand.chat.default = steps

    async def one() -> bool:
        reply = await stand.gateway.ask("chat", ask_body("chat", "chat", stream=True))
        return reply.body.endswith(b"data: [DONE]\n\n")

    assert all(await asyncio.gather(*(one() for _ in range(1000))))
