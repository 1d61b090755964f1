"""The order of a graceful stop, on real sockets."""

import asyncio
import time
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web

from plexus_proxy.config.model import Shutdown
from plexus_proxy.drain import Drain
from plexus_proxy.server.listen import bind
from plexus_proxy.server.service import Rules, Service

GET = b"GET /ready HTTP/1.1\r\nHost: a\r\n\r\n"


class Stand:
    """A service whose handlers say what they live through."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.drain = Drain()
        self.shutdown = Shutdown(drain_s=0, grace_s=10)
        self.release = asyncio.Event()
        """Lets the streams end."""
        self.cancelled = asyncio.Event()
        app = web.Application()
        app.router.add_get("/ready", self._ready)
        app.router.add_get("/stream", self._stream)
        app.router.add_get("/wait", self._wait)
        app.router.add_post("/upload", self._upload)
        app.cleanup_ctx.append(self._context)
        self.service = Service(app, self.drain, lambda: Rules(shutdown=self.shutdown))
        [listener] = self._sockets = bind("127.0.0.1", 0)
        self.port: int = listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        await self.service.start(self._sockets)

    async def _context(self, app: web.Application) -> AsyncIterator[None]:
        yield
        self.log.append("flushed")

    async def _ready(self, request: web.Request) -> web.Response:
        return web.Response(text=self.drain.state)

    async def _wait(self, request: web.Request) -> web.Response:
        await self.release.wait()
        return web.Response(text="waited")

    async def _upload(self, request: web.Request) -> web.Response:
        return web.Response(text=str(len(await request.read())))

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"first,")
        try:
            await self.release.wait()
            await response.write(b"last")
        except asyncio.CancelledError:
            await asyncio.sleep(0.05)  # what a handler does on its way out
            self.log.append("cancelled")
            self.cancelled.set()
            raise
        self.log.append("streamed")
        return response

    async def stopping(self) -> "asyncio.Task[None]":
        """Begin to stop; returns once the listener has closed, or is about to drain."""
        task = asyncio.create_task(self.service.stop())
        await asyncio.sleep(0.05)
        return task


@pytest.fixture
async def stand() -> AsyncIterator[Stand]:
    stand = Stand()
    await stand.start()
    yield stand
    stand.service.hurry.set()
    if "flushed" not in stand.log:
        await stand.service.stop()


async def test_while_draining_new_connections_are_served_and_told_to_close(stand: Stand) -> None:
    stand.shutdown = Shutdown(drain_s=0.5, grace_s=5)
    stopping = await stand.stopping()
    async with aiohttp.ClientSession() as session, session.get(f"{stand.url}/ready") as response:
        assert await response.text() == "draining"
        assert response.headers["connection"] == "close"
    await stopping


async def test_before_a_stop_connections_are_kept(stand: Stand) -> None:
    async with aiohttp.ClientSession() as session, session.get(f"{stand.url}/ready") as response:
        assert await response.text() == "serving"
        assert "connection" not in response.headers


async def test_a_request_in_progress_is_told_to_close(stand: Stand) -> None:
    stand.shutdown = Shutdown(drain_s=0.3, grace_s=5)
    async with aiohttp.ClientSession() as session:
        asked = asyncio.create_task(session.get(f"{stand.url}/wait"))
        await asyncio.sleep(0.05)
        stopping = await stand.stopping()
        stand.release.set()
        response = await asked
        assert await response.text() == "waited"
        assert response.headers["connection"] == "close"
    await stopping


async def test_an_open_stream_runs_to_its_end_after_the_listener_has_closed(stand: Stand) -> None:
    async with aiohttp.ClientSession() as session, session.get(f"{stand.url}/stream") as response:
        assert await response.content.readany() == b"first,"
        stopping = await stand.stopping()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", stand.port)
        stand.release.set()
        assert await response.content.read() == b"last"
    await stopping
    assert stand.log == ["streamed", "flushed"]


async def test_the_stop_ends_with_the_last_stream(stand: Stand) -> None:
    async with aiohttp.ClientSession() as session, session.get(f"{stand.url}/stream") as response:
        stopping = await stand.stopping()
        assert not stopping.done()
        stand.release.set()
        await response.read()
        started = time.monotonic()
        await stopping
    assert time.monotonic() - started < 2


async def test_idle_connections_are_closed_with_the_listener(stand: Stand) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", stand.port)
    writer.write(GET)
    await reader.read(1000)
    await (await stand.stopping())
    assert await reader.read() == b""
    writer.close()


async def test_a_request_that_arrives_just_after_the_listener_closed_is_served(
    stand: Stand,
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", stand.port)
    await asyncio.sleep(0.05)
    stopping = await stand.stopping()
    assert stand.drain.state == "closed"
    writer.write(GET)
    said = await reader.read()
    assert b"200 OK" in said
    assert b"connection: close" in said.lower()
    await stopping
    writer.close()


async def test_a_body_on_its_way_is_read_to_its_end(stand: Stand) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", stand.port)
    writer.write(b"POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 8\r\n\r\nhalf")
    await asyncio.sleep(0.05)
    stopping = await stand.stopping()
    writer.write(b"done")
    said = await reader.read()
    assert said.endswith(b"\r\n\r\n8")
    await stopping
    writer.close()


async def test_streams_are_cancelled_when_the_grace_period_is_over(stand: Stand) -> None:
    stand.shutdown = Shutdown(drain_s=0, grace_s=0.2)
    async with aiohttp.ClientSession() as session, session.get(f"{stand.url}/stream") as response:
        await response.content.readany()
        await (await stand.stopping())
        with pytest.raises(aiohttp.ClientPayloadError):
            await response.content.read()
    assert stand.log == ["cancelled", "flushed"]


async def test_a_second_signal_skips_the_waiting(stand: Stand) -> None:
    stand.shutdown = Shutdown(drain_s=60, grace_s=600)
    async with aiohttp.ClientSession() as session, session.get(f"{stand.url}/stream") as response:
        await response.content.readany()
        stopping = await stand.stopping()
        stand.service.hurry.set()
        async with asyncio.timeout(5):
            await stopping
    assert stand.log == ["cancelled", "flushed"]


async def test_a_client_that_leaves_cancels_its_handler(stand: Stand) -> None:
    async with aiohttp.ClientSession() as session:
        response = await session.get(f"{stand.url}/stream")
        response.close()
    async with asyncio.timeout(5):
        await stand.cancelled.wait()


async def test_a_start_that_fails_leaves_nothing_open() -> None:
    opened: list[str] = []

    async def first(app: web.Application) -> AsyncIterator[None]:
        opened.append("first")
        yield
        opened.remove("first")

    async def second(app: web.Application) -> AsyncIterator[None]:
        raise RuntimeError("broken")
        yield

    app = web.Application()
    app.cleanup_ctx.extend([first, second])
    service = Service(app, Drain(), Rules)
    with pytest.raises(RuntimeError, match="broken"):
        await service.start([])
    assert opened == []
