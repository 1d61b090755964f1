"""The upstream client against real sockets: phases, pauses, cut answers, connection reuse."""

import asyncio
import gzip
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from aiohttp import web

from plexus_proxy.config.timeouts import ResolvedTimeouts
from plexus_proxy.errors import Garbled, TimedOut, Unreachable
from plexus_proxy.upstream.client import OutgoingRequest, SessionUpstream, session_upstream
from plexus_proxy.upstream.clock import PhaseClock

Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
LIMITS = ResolvedTimeouts(
    connect_s=5, write_s=5, headers_s=5, first_content_s=5, idle_s=5, total_s=30
)


@pytest.fixture
async def upstream() -> AsyncIterator[SessionUpstream]:
    async with session_upstream() as made:
        yield made


@pytest.fixture
async def serve() -> AsyncIterator[Callable[[Script], Awaitable[str]]]:
    """Start a raw TCP server that runs a script per connection; gives its URL."""
    servers: list[asyncio.Server] = []

    async def start(script: Script) -> str:
        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                await script(reader, writer)
            except (ConnectionError, asyncio.IncompleteReadError):
                pass
            finally:
                writer.close()

        server = await asyncio.start_server(connected, "127.0.0.1", 0)
        servers.append(server)
        host, port = server.sockets[0].getsockname()[:2]
        return f"http://{host}:{port}/v1/x"

    yield start
    for server in servers:
        server.close()


async def read_request(reader: asyncio.StreamReader) -> tuple[str, bytes]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    length = next(
        int(line.partition(":")[2])
        for line in head.split("\r\n")
        if line.lower().startswith("content-length")
    )
    return head, await reader.readexactly(length)


def request(url: str, body: bytes = b"{}") -> OutgoingRequest:
    return OutgoingRequest(url, {"content-type": "application/json", "x-api-key": "k"}, body)


def clock(**limits: float) -> PhaseClock:
    from msgspec.structs import replace

    return PhaseClock(replace(LIMITS, **limits), asyncio.get_running_loop().time())


async def test_only_the_given_headers_and_bytes_are_sent(
    upstream: SessionUpstream, serve: Callable[[Script], Awaitable[str]]
) -> None:
    seen: list[tuple[str, bytes]] = []

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await read_request(reader))
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
        await writer.drain()

    url = await serve(script)
    answer = await upstream.send(request(url, b'{"n": 1.0}'), clock())
    assert await answer.read(100) == b"ok"
    head, body = seen[0]
    names = {line.partition(":")[0].lower() for line in head.split("\r\n")[1:] if line}
    assert names == {"host", "content-type", "x-api-key", "content-length"} | (
        names & {"accept", "accept-encoding"}
    )
    assert body == b'{"n": 1.0}'


async def test_a_sink_that_pauses_gets_the_rest_later_in_order(
    upstream: SessionUpstream, serve: Callable[[Script], Awaitable[str]]
) -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        for number in range(5):
            writer.write(b"1\r\n%d\r\n" % number)
            await writer.drain()
            await asyncio.sleep(0.01)
        writer.write(b"0\r\n\r\n")
        await writer.drain()

    answer = await upstream.send(request(await serve(script)), clock())
    got: list[bytes] = []

    def sink(chunk: bytes) -> bool:
        got.append(chunk)
        return False

    rounds = 0
    while not await answer.pour(sink):
        rounds += 1
    assert b"".join(got) == b"01234"
    assert rounds >= 2


async def test_a_cut_body_is_garbled(
    upstream: SessionUpstream, serve: Callable[[Script], Awaitable[str]]
) -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf")
        await writer.drain()

    answer = await upstream.send(request(await serve(script)), clock())
    with pytest.raises(Garbled) as caught:
        await answer.read(1000)
    answer.close()
    assert caught.value.code == "upstream_cut"


async def test_a_body_over_the_limit_is_refused(
    upstream: SessionUpstream, serve: Callable[[Script], Awaitable[str]]
) -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n" + b"x" * 5000)
        await writer.drain()

    answer = await upstream.send(request(await serve(script)), clock())
    with pytest.raises(Garbled) as caught:
        await answer.read(1000)
    answer.close()
    assert caught.value.code == "upstream_too_large"


async def test_a_compressed_body_is_decoded_although_none_was_asked_for(
    upstream: SessionUpstream, serve: Callable[[Script], Awaitable[str]]
) -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        body = gzip.compress(b'{"a":1}')
        writer.write(
            b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(body)
            + body
        )
        await writer.drain()

    answer = await upstream.send(request(await serve(script)), clock())
    assert await answer.read(1000) == b'{"a":1}'


async def test_a_bomb_is_stopped_at_the_limit(
    upstream: SessionUpstream, serve: Callable[[Script], Awaitable[str]]
) -> None:
    bomb = gzip.compress(b"\0" * 50_000_000)

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(
            b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(bomb)
            + bomb
        )
        await writer.drain()

    answer = await upstream.send(request(await serve(script)), clock())
    with pytest.raises(Garbled):
        await answer.read(1_000_000)
    answer.close()


@pytest.mark.parametrize(
    ("reply", "fault"),
    [
        (b"", Unreachable),
        (b"HTTP/1.1 200 OK\r\ncontent-le", Unreachable),
        (b"SSH-2.0-OpenSSH\r\n\r\n", Garbled),
    ],
)
async def test_no_valid_answer_is_a_fault_of_the_provider(
    upstream: SessionUpstream,
    serve: Callable[[Script], Awaitable[str]],
    reply: bytes,
    fault: type[Exception],
) -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(reply)
        await writer.drain()

    with pytest.raises(fault):
        await upstream.send(request(await serve(script)), clock())


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1/v1", "http://no-such-host.invalid/v1", "http://[bad/v1", "nonsense"]
)
async def test_what_cannot_be_connected_to_is_unreachable(
    upstream: SessionUpstream, url: str
) -> None:
    with pytest.raises(Unreachable) as caught:
        await upstream.send(request(url), clock())
    assert url not in caught.value.message


async def test_a_head_that_never_comes_is_a_headers_time_out(
    upstream: SessionUpstream, serve: Callable[[Script], Awaitable[str]]
) -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()  # until the client goes

    phases = clock(headers_s=0.1)
    with pytest.raises(TimedOut) as caught:
        async with phases:
            await upstream.send(request(await serve(script)), phases)
    assert caught.value.phase == "headers"
    assert caught.value.code == "upstream_headers_timeout"


async def test_a_body_nobody_reads_is_a_write_time_out(
    upstream: SessionUpstream, serve: Callable[[Script], Awaitable[str]]
) -> None:
    release = asyncio.Event()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reader._transport.pause_reading()  # type: ignore[attr-defined]  # a peer that stops reading
        await release.wait()

    phases = clock(write_s=0.2)
    with pytest.raises(TimedOut) as caught:
        async with phases:
            await upstream.send(request(await serve(script), b"x" * 30_000_000), phases)
    release.set()
    assert caught.value.phase == "write"


async def test_the_total_limit_wins_over_a_longer_phase(
    upstream: SessionUpstream, serve: Callable[[Script], Awaitable[str]]
) -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    phases = clock(total_s=0.1)
    with pytest.raises(TimedOut) as caught:
        async with phases:
            await upstream.send(request(await serve(script)), phases)
    assert caught.value.phase == "total"


async def test_cancelling_ends_the_connection_at_once(
    upstream: SessionUpstream, serve: Callable[[Script], Awaitable[str]]
) -> None:
    gone = asyncio.Event()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        await reader.read()
        gone.set()

    sending = asyncio.ensure_future(upstream.send(request(await serve(script)), clock()))
    await asyncio.sleep(0.05)
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    await asyncio.wait_for(gone.wait(), 1)


async def test_a_connection_is_not_reused_after_an_answer_that_came_too_early(
    upstream: SessionUpstream, serve: Callable[[Script], Awaitable[str]]
) -> None:
    connections = 0

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        if connections == 1:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\n\r\nno")
            await writer.drain()
            await asyncio.sleep(0.2)
            await reader.read(50_000_000)
            return
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
        await writer.drain()

    url = await serve(script)
    first = await upstream.send(request(url, b"x" * 20_000_000), clock())
    assert first.status == 413
    assert await first.read(100) == b"no"
    first.close()
    second = await upstream.send(request(url), clock())
    assert await second.read(100) == b"ok"
    assert connections == 2


async def test_redirects_are_not_followed(
    upstream: SessionUpstream, serve: Callable[[Script], Awaitable[str]]
) -> None:
    async def elsewhere(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        pytest.fail("followed a redirect")

    target = await serve(elsewhere)

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(
            b"HTTP/1.1 307 Go\r\nlocation: %b\r\ncontent-length: 0\r\n\r\n" % target.encode()
        )
        await writer.drain()

    answer = await upstream.send(request(await serve(script)), clock())
    assert answer.status == 307
    answer.close()


async def test_a_request_never_shows_its_credential(upstream: SessionUpstream) -> None:
    made = OutgoingRequest("http://h", {"x-api-key": "CANARY"}, b"CANARY")
    assert "CANARY" not in repr(made)


async def test_a_web_application_is_answered_like_any_provider(upstream: SessionUpstream) -> None:
    async def echo(incoming: web.Request) -> web.Response:
        return web.Response(body=await incoming.read())

    app = web.Application()
    app.router.add_post("/v1/x", echo)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    for _ in range(3):
        answer = await upstream.send(request(f"http://127.0.0.1:{port}/v1/x", b"[1]"), clock())
        assert await answer.read(100) == b"[1]"
        answer.close()
    await runner.cleanup()
