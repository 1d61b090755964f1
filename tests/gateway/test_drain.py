"""A stop in the middle of work: streams end whole, rows are written, new work is turned away."""

import asyncio

import aiohttp
import pytest
from support.answers import chat_frames
from support.fake_provider import Chunk, Hang, Head, Until
from support.gateway import FORMATS, StandBuilder, ask_body, spoken_text
from support.waiting import until


@pytest.mark.parametrize("fmt", FORMATS)
async def test_an_open_stream_runs_to_its_end_and_its_row_is_written(
    stand_builder: StandBuilder, fmt: str
) -> None:
    stand_builder.config["shutdown"] = {"drain_s": 0.2, "grace_s": 10}
    release = asyncio.Event()
    frames = [Chunk(frame) for frame in chat_frames()]
    async with stand_builder.started() as stand:
        stand.chat.enqueue(Head(), *frames[:3], Until(release), *frames[3:])
        asking = asyncio.ensure_future(stand.gateway.ask(fmt, ask_body(fmt, "chat", stream=True)))
        await stand.chat.arrived()
        stopping = asyncio.ensure_future(stand.gateway.stop())
        await until(lambda: stand.gateway.drain.state == "closed")
        assert not asking.done()
        release.set()
        reply = await asking
        await stopping
        assert spoken_text(fmt, reply.events()) == "Teal is a colour."
        [row] = stand.gateway.rows_now()
        assert row["status"] == "success"


async def test_while_draining_requests_are_served_on_connections_told_to_close(
    stand_builder: StandBuilder,
) -> None:
    stand_builder.config["shutdown"] = {"drain_s": 1, "grace_s": 1}
    async with stand_builder.started() as stand:
        stopping = asyncio.ensure_future(stand.gateway.stop())
        await until(lambda: stand.gateway.drain.draining)
        reply = await stand.gateway.ask("chat", ask_body("chat", "chat"))
        assert reply.status == 200
        assert reply.headers["connection"] == "close"
        async with stand.gateway.session.get(stand.gateway.url + "/readyz") as response:
            assert response.status == 503
        async with stand.gateway.session.get(stand.gateway.url + "/healthz") as response:
            assert response.status == 200
        await stopping
        with pytest.raises(aiohttp.ClientConnectorError):
            await stand.gateway.ask("chat", ask_body("chat", "chat"))


async def test_a_stream_beyond_the_grace_period_is_cut_and_its_row_says_so(
    stand_builder: StandBuilder,
) -> None:
    stand_builder.config["shutdown"] = {"drain_s": 0, "grace_s": 0.3}
    async with stand_builder.started() as stand:
        stand.chat.enqueue(Head(), *map(Chunk, chat_frames()[:3]), Hang())
        asking = asyncio.ensure_future(
            stand.gateway.ask("chat", ask_body("chat", "chat", stream=True))
        )
        await stand.chat.arrived()
        await stand.gateway.stop()
        with pytest.raises(aiohttp.ClientError):
            await asking
        [row] = stand.gateway.rows_now()
        assert row["status"] != "success"
        assert stand.chat.last.cut
