"""The fake provider does what its scripts say: the other tests rest on it."""

import asyncio
import io

import aiohttp
import pytest
from support.fake_provider import (
    Chunk,
    Drop,
    Flood,
    Hang,
    Head,
    Raw,
    Unread,
    Until,
    Whole,
    fake_provider,
)
from support.waiting import until


async def test_scripts_are_played_in_order_and_requests_kept_as_they_came() -> None:
    async with fake_provider() as fake, aiohttp.ClientSession() as session:
        fake.enqueue(Whole({"n": 1}, 201, {"x-a": "b", "content-type": "application/json"}))
        fake.enqueue(Head(), Chunk(b"one"), Chunk(b"two"))
        async with session.post(fake.url + "/x?q=1", data=b'{"n": 1.0}') as response:
            assert (response.status, response.headers["x-a"]) == (201, "b")
            assert await response.json() == {"n": 1}
        async with session.post(fake.url) as response:
            assert await response.read() == b"onetwo"
        assert fake.requests[0].body == b'{"n": 1.0}'
        assert (fake.requests[0].path, fake.requests[0].query) == ("/v1/x", "q=1")


async def test_a_caller_that_leaves_is_seen_at_once() -> None:
    async with fake_provider() as fake, aiohttp.ClientSession() as session:
        fake.enqueue(Head(), Chunk(b"one"), Hang())
        response = await session.post(fake.url)
        assert not fake.last.over.is_set()
        response.close()
        async with asyncio.timeout(1):
            await fake.last.over.wait()
        assert fake.last.cut


async def test_a_drop_a_raw_answer_and_an_early_one() -> None:
    async with fake_provider() as fake, aiohttp.ClientSession() as session:
        fake.enqueue(Head(), Chunk(b"one"), Drop())
        with pytest.raises(aiohttp.ClientPayloadError):
            await (await session.post(fake.url)).read()
        assert not fake.last.cut
        fake.enqueue(Raw(b"junk\r\n\r\n"))
        with pytest.raises(aiohttp.ClientError):
            await session.post(fake.url)
        fake.enqueue(Unread(), Whole({}, 413))
        async with session.post(fake.url, data=io.BytesIO(b"x" * 20_000_000)) as response:
            assert response.status == 413
        assert fake.last.body == b""


async def test_a_flood_waits_for_its_reader_and_an_until_for_the_test() -> None:
    go = asyncio.Event()
    async with fake_provider() as fake, aiohttp.ClientSession(read_bufsize=1024) as session:
        fake.enqueue(Head(), Until(go), Flood(b"x" * 100_000, 500))
        response = await session.post(fake.url)
        assert fake.last.sent_bytes == 0
        go.set()
        await until(lambda: fake.last.sent_bytes)
        await asyncio.sleep(0.3)
        assert fake.last.sent_bytes < 30_000_000
        assert len(await response.read()) == 50_000_000
        await fake.last.over.wait()
        assert fake.last.sent_bytes == 50_000_000
