"""The upstream client against real sockets: phases, pauses, cut answers, connection reuse, TLS."""

import asyncio
import gzip
import ssl
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp import web
from support.certificates import make_certificate

from plexus_proxy.config.timeouts import ResolvedTimeouts
from plexus_proxy.errors import Garbled, TimedOut, Unreachable
from plexus_proxy.upstream import pool as pools
from plexus_proxy.upstream.client import OutgoingRequest
from plexus_proxy.upstream.clock import PhaseClock
from plexus_proxy.upstream.http import HttpUpstream, http_upstream
from plexus_proxy.upstream.pool import Pool

Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
LIMITS = ResolvedTimeouts(
    connect_s=5, write_s=5, headers_s=5, first_content_s=5, idle_s=5, total_s=30
)


@pytest.fixture
async def upstream() -> AsyncIterator[HttpUpstream]:
    async with http_upstream() as made:
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


def answering(*replies: bytes, close: bool = False) -> Script:
    """Answer each request of a connection with the next of `replies`."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for reply in replies:
            await read_request(reader)
            writer.write(reply)
            await writer.drain()
        if not close:
            await reader.read()

    return script


def counted(script: Script) -> tuple[Script, list[int]]:
    """`script`, and one entry per connection it was run on."""
    seen: list[int] = []

    async def run(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(len(seen))
        await script(reader, writer)

    return run, seen


def request(url: str, body: bytes = b"{}") -> OutgoingRequest:
    return OutgoingRequest(url, {"content-type": "application/json", "x-api-key": "k"}, body)


def clock(**limits: float) -> PhaseClock:
    from msgspec.structs import replace

    return PhaseClock(replace(LIMITS, **limits), asyncio.get_running_loop().time())


async def test_only_the_given_headers_and_bytes_are_sent(
    upstream: HttpUpstream, serve: Callable[[Script], Awaitable[str]]
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
    upstream: HttpUpstream, serve: Callable[[Script], Awaitable[str]]
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
    upstream: HttpUpstream, serve: Callable[[Script], Awaitable[str]]
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
    upstream: HttpUpstream, serve: Callable[[Script], Awaitable[str]]
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
    upstream: HttpUpstream, serve: Callable[[Script], Awaitable[str]]
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
    upstream: HttpUpstream, serve: Callable[[Script], Awaitable[str]]
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
    upstream: HttpUpstream,
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
async def test_what_cannot_be_connected_to_is_unreachable(upstream: HttpUpstream, url: str) -> None:
    with pytest.raises(Unreachable) as caught:
        await upstream.send(request(url), clock())
    assert url not in caught.value.message


async def test_a_head_that_never_comes_is_a_headers_time_out(
    upstream: HttpUpstream, serve: Callable[[Script], Awaitable[str]]
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
    upstream: HttpUpstream, serve: Callable[[Script], Awaitable[str]]
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
    upstream: HttpUpstream, serve: Callable[[Script], Awaitable[str]]
) -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    phases = clock(total_s=0.1)
    with pytest.raises(TimedOut) as caught:
        async with phases:
            await upstream.send(request(await serve(script)), phases)
    assert caught.value.phase == "total"


async def test_cancelling_ends_the_connection_at_once(
    upstream: HttpUpstream, serve: Callable[[Script], Awaitable[str]]
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
    upstream: HttpUpstream, serve: Callable[[Script], Awaitable[str]]
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
    upstream: HttpUpstream, serve: Callable[[Script], Awaitable[str]]
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


async def test_a_request_never_shows_its_credential(upstream: HttpUpstream) -> None:
    made = OutgoingRequest("http://h", {"x-api-key": "CANARY"}, b"CANARY")
    assert "CANARY" not in repr(made)


async def test_a_web_application_is_answered_like_any_provider(upstream: HttpUpstream) -> None:
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


OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


async def test_a_connection_serves_one_request_after_another(
    upstream: HttpUpstream, serve: Callable[[Script], Awaitable[str]]
) -> None:
    script, seen = counted(answering(OK, OK, OK))
    url = await serve(script)
    for _ in range(3):
        answer = await upstream.send(request(url), clock())
        assert await answer.read(10) == b"ok"
        answer.close()
    assert len(seen) == 1


async def test_a_connection_is_free_before_its_answer_is_closed(
    upstream: HttpUpstream, serve: Callable[[Script], Awaitable[str]]
) -> None:
    """A late `close` of the first answer must not cut the second one."""
    script, seen = counted(answering(OK, b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nt", b"wo"))
    url = await serve(script)
    first = await upstream.send(request(url), clock())
    assert await first.read(10) == b"ok"
    second = await upstream.send(request(url), clock())
    first.close()
    third = asyncio.ensure_future(upstream.send(request(url), clock()))  # wants the rest written
    await asyncio.sleep(0.05)
    assert len(seen) == 2
    second.close()
    third.cancel()


async def test_a_kept_connection_that_was_closed_costs_no_request(
    upstream: HttpUpstream, serve: Callable[[Script], Awaitable[str]]
) -> None:
    """The provider hangs up as the second request arrives, before a byte of its answer."""
    script, seen = counted(answering(OK, b"", close=True))
    url = await serve(script)
    for _ in range(2):
        answer = await upstream.send(request(url), clock())
        assert await answer.read(10) == b"ok"
    assert len(seen) == 2


async def test_a_request_is_not_sent_again_once_its_answer_has_begun(
    upstream: HttpUpstream, serve: Callable[[Script], Awaitable[str]]
) -> None:
    script, seen = counted(answering(OK, b"HTTP/1.1 2", close=True))
    url = await serve(script)
    await (await upstream.send(request(url), clock())).read(10)
    with pytest.raises(Unreachable):
        await upstream.send(request(url), clock())
    assert len(seen) == 1


async def test_a_new_connection_that_closes_is_not_tried_again(
    upstream: HttpUpstream, serve: Callable[[Script], Awaitable[str]]
) -> None:
    script, seen = counted(answering(b"", close=True))
    with pytest.raises(Unreachable):
        await upstream.send(request(await serve(script)), clock())
    assert len(seen) == 1


@pytest.mark.parametrize(
    "reply",
    [
        b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok!",
        OK + OK,
    ],
    ids=["told to close", "HTTP/1.0", "bytes behind the answer", "an answer nobody asked for"],
)
async def test_what_may_spoil_the_next_answer_ends_the_connection(
    upstream: HttpUpstream, serve: Callable[[Script], Awaitable[str]], reply: bytes
) -> None:
    script, seen = counted(answering(reply))
    url = await serve(script)
    for number in range(1, 3):
        answer = await upstream.send(request(url), clock())
        assert await answer.read(10) == b"ok"
        answer.close()
        assert len(seen) == number


async def test_bytes_on_an_idle_connection_end_it(
    upstream: HttpUpstream, serve: Callable[[Script], Awaitable[str]]
) -> None:
    async def talkative(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(OK)
        await writer.drain()
        await asyncio.sleep(0.05)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nwrong")
        await reader.read()

    script, seen = counted(talkative)
    url = await serve(script)
    for _ in range(2):
        assert await (await upstream.send(request(url), clock())).read(10) == b"ok"
        await asyncio.sleep(0.1)
    assert len(seen) == 2


@pytest.mark.parametrize(
    "reply",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nok",
        b"HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: x\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nbad header\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nx: " + b"y" * 70_000,
        b"HTTP/1.1 200 OK\r\ncontent-encoding: zstd\r\ncontent-length: 2\r\n\r\nok",
    ],
    ids=["two framings", "two lengths", "101", "no colon", "endless head", "unknown coding"],
)
async def test_a_head_that_cannot_be_trusted_is_garbled(
    upstream: HttpUpstream, serve: Callable[[Script], Awaitable[str]], reply: bytes
) -> None:
    with pytest.raises(Garbled):
        await upstream.send(request(await serve(answering(reply))), clock())


async def test_informational_answers_are_passed_over(
    upstream: HttpUpstream, serve: Callable[[Script], Awaitable[str]]
) -> None:
    interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n"
    script, seen = counted(answering(interim + OK, interim + OK))
    url = await serve(script)
    for _ in range(2):
        answer = await upstream.send(request(url), clock())
        assert (answer.status, await answer.read(10)) == (200, b"ok")
        assert dict(answer.headers) == {"content-length": "2"}
    assert len(seen) == 1


async def test_headers_come_by_lower_case_name_and_repeated_ones_joined(
    upstream: HttpUpstream, serve: Callable[[Script], Awaitable[str]]
) -> None:
    reply = (
        b"HTTP/1.1 200 OK\r\nX-Model:  caf\xc3\xa9 \t\r\nVia: a\r\nvia: b\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nx-trailer: t\r\n\r\n"
    )
    answer = await upstream.send(request(await serve(answering(reply))), clock())
    assert await answer.read(10) == b"ok"
    assert dict(answer.headers) == {
        "x-model": "café",
        "via": "a, b",
        "transfer-encoding": "chunked",
    }


async def test_a_body_without_length_lasts_until_the_connection_ends(
    upstream: HttpUpstream, serve: Callable[[Script], Awaitable[str]]
) -> None:
    script = answering(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 5000, close=True)
    answer = await upstream.send(request(await serve(script)), clock())
    assert await answer.read(10_000) == b"x" * 5000


async def test_a_chunked_body_without_its_end_is_cut(
    upstream: HttpUpstream, serve: Callable[[Script], Awaitable[str]]
) -> None:
    reply = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n"
    answer = await upstream.send(request(await serve(answering(reply, close=True))), clock())
    got: list[bytes] = []

    def sink(chunk: bytes) -> bool:
        got.append(chunk)
        return True

    with pytest.raises(Garbled) as caught:
        await answer.pour(sink)
    assert caught.value.code == "upstream_cut"
    assert b"".join(got) == b"ok"


async def test_a_broken_chunk_size_is_garbled_and_what_came_before_is_not_lost(
    upstream: HttpUpstream, serve: Callable[[Script], Awaitable[str]]
) -> None:
    reply = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\nzz\r\n"
    answer = await upstream.send(request(await serve(answering(reply))), clock())
    got: list[bytes] = []

    def sink(chunk: bytes) -> bool:
        got.append(chunk)
        return True

    with pytest.raises(Garbled):
        await answer.pour(sink)
    assert b"".join(got) == b"ok"


async def test_the_socket_is_left_alone_while_nobody_takes_the_body(
    upstream: HttpUpstream, serve: Callable[[Script], Awaitable[str]]
) -> None:
    sent = 0

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 200000000\r\n\r\n")
        for _ in range(2000):
            writer.write(b"x" * 100_000)
            await writer.drain()
            sent += 100_000

    answer = await upstream.send(request(await serve(script)), clock())
    taken = 0

    def sink(chunk: bytes) -> bool:
        nonlocal taken
        taken += len(chunk)
        return False

    for _ in range(3):
        assert not await answer.pour(sink)
    await asyncio.sleep(0.2)
    stopped_at = sent
    await asyncio.sleep(0.1)
    assert sent == stopped_at  # socket buffers are full
    assert taken < 5_000_000
    while not await answer.pour(sink):
        pass
    assert taken == 200_000_000


async def test_the_socket_is_left_alone_until_somebody_reads(
    upstream: HttpUpstream, serve: Callable[[Script], Awaitable[str]]
) -> None:
    sent = 0

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100000000\r\n\r\n")
        for _ in range(1000):
            writer.write(b"x" * 100_000)
            await writer.drain()
            sent += 100_000

    answer = await upstream.send(request(await serve(script)), clock())
    await asyncio.sleep(0.3)
    stopped_at = sent
    await asyncio.sleep(0.2)
    assert sent == stopped_at < 50_000_000  # what waits is in the sockets' buffers
    assert len(await answer.read(100_000_000)) == 100_000_000


async def test_what_a_sink_raises_reaches_its_caller(
    upstream: HttpUpstream, serve: Callable[[Script], Awaitable[str]]
) -> None:
    release = asyncio.Event()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n")
        await release.wait()
        writer.write(b"body")
        await reader.read()

    answer = await upstream.send(request(await serve(script)), clock())

    def sink(chunk: bytes) -> bool:
        raise ConnectionResetError("the client has gone")

    release.set()
    with pytest.raises(ConnectionResetError):
        await answer.pour(sink)
    answer.close()


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        ("gzip", gzip.compress(b"first ") + gzip.compress(b"second")),
        ("x-gzip", gzip.compress(b"first second")),
        ("deflate", zlib.compress(b"first second")),
        ("deflate", zlib.compress(b"first second")[2:-4]),
        ("identity", b"first second"),
    ],
    ids=["two members", "old name", "deflate", "bare deflate", "identity"],
)
@pytest.mark.parametrize("piece", [1, 7, 1000])
async def test_codings_are_undone_however_the_bytes_arrive(
    upstream: HttpUpstream,
    serve: Callable[[Script], Awaitable[str]],
    coding: str,
    body: bytes,
    piece: int,
) -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        head = f"HTTP/1.1 200 OK\r\ncontent-encoding: {coding}\r\ncontent-length: {len(body)}"
        writer.write(head.encode() + b"\r\n\r\n")
        for start in range(0, len(body), piece):
            writer.write(body[start : start + piece])
            await writer.drain()
            await asyncio.sleep(0)

    answer = await upstream.send(request(await serve(script)), clock())
    assert await answer.read(1000) == b"first second"


@pytest.mark.parametrize(
    "body", [gzip.compress(b"first second")[:-3], b"not gzip at all"], ids=["cut", "no gzip"]
)
async def test_a_coding_that_breaks_off_is_a_cut_body(
    upstream: HttpUpstream, serve: Callable[[Script], Awaitable[str]], body: bytes
) -> None:
    head = f"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: {len(body)}\r\n\r\n"
    answer = await upstream.send(request(await serve(answering(head.encode() + body))), clock())
    with pytest.raises(Garbled) as caught:
        await answer.read(1000)
    assert caught.value.code == "upstream_cut"


@pytest.mark.parametrize(
    ("name", "value"),
    [("x-a", "1\r\nx-b: 2"), ("x-a", "1\n"), ("x a", "1"), ("x-a:", "1"), ("x-a", "nul\0")],
)
async def test_no_header_can_start_another(
    upstream: HttpUpstream, serve: Callable[[Script], Awaitable[str]], name: str, value: str
) -> None:
    script, seen = counted(answering(OK))
    sent = OutgoingRequest(await serve(script), {name: value}, b"{}")
    with pytest.raises(Unreachable) as caught:
        await upstream.send(sent, clock())
    assert not seen
    assert value not in caught.value.message


async def test_host_path_query_and_password_are_sent_as_the_url_says(
    upstream: HttpUpstream, serve: Callable[[Script], Awaitable[str]]
) -> None:
    seen: list[str] = []

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append((await read_request(reader))[0])
        writer.write(OK)
        await writer.drain()

    url = await serve(script)
    host = url.split("/")[2]
    await upstream.send(
        request(url.replace("http://", "http://me:p%40ss@") + "?a=%26&b=ü"), clock()
    )
    lines = seen[0].split("\r\n")
    assert lines[0] == "POST /v1/x?a=%26&b=%C3%BC HTTP/1.1"
    assert f"host: {host}" in lines
    assert "authorization: Basic bWU6cEBzcw==" in lines


async def test_connections_that_idle_too_long_are_closed(
    serve: Callable[[Script], Awaitable[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = asyncio.Event()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(OK)
        await reader.read()
        gone.set()

    pool = Pool()
    url = await serve(script)
    await (await HttpUpstream(pool).send(request(url), clock())).read(10)
    pool.sweep()
    await asyncio.sleep(0.05)
    assert not gone.is_set()
    monkeypatch.setattr(pools, "KEEP_IDLE_S", 0.0)
    await asyncio.sleep(0.01)
    pool.sweep()
    await asyncio.wait_for(gone.wait(), 1)
    pool.close()


async def test_the_end_of_the_upstream_closes_every_connection(
    serve: Callable[[Script], Awaitable[str]],
) -> None:
    """One is idle by then, two are in the middle of an answer."""
    gone: list[int] = []
    number = 0

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal number
        number += 1
        reply = OK if number == 1 else b"HTTP/1.1 200 OK\r\n\r\nx"
        await read_request(reader)
        writer.write(reply)
        await reader.read()
        gone.append(number)

    url = await serve(script)
    async with http_upstream() as upstream:
        await asyncio.gather(*(upstream.send(request(url), clock()) for _ in range(3)))
        assert number == 3
        assert not gone
    await asyncio.sleep(0.05)
    assert len(gone) == 3


async def test_a_name_is_asked_for_once_and_its_failure_is_not_kept_for_long(
    upstream: HttpUpstream,
    serve: Callable[[Script], Awaitable[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loop = asyncio.get_running_loop()
    asked: list[str] = []
    real = loop.getaddrinfo

    async def getaddrinfo(host: str, port: int, **options: int) -> object:
        asked.append(host)
        await asyncio.sleep(0.02)
        if host == "gone.test":
            raise OSError("no such name")
        return await real("127.0.0.1", port, **options)

    monkeypatch.setattr(loop, "getaddrinfo", getaddrinfo)
    url = (await serve(answering(OK, OK))).replace("127.0.0.1", "provider.test")
    await asyncio.gather(*(upstream.send(request(url), clock()) for _ in range(5)))
    assert asked == ["provider.test"]
    gone = url.replace("provider", "gone")
    results = await asyncio.gather(
        *(upstream.send(request(gone), clock()) for _ in range(5)), return_exceptions=True
    )
    assert all(isinstance(each, Unreachable) for each in results)
    assert asked == ["provider.test", "gone.test"]
    monkeypatch.setattr(pools, "_FAILED_S", 0.0)
    await asyncio.sleep(1.05)
    for _ in range(2):
        with pytest.raises(Unreachable):
            await upstream.send(request(gone), clock())
    assert asked.count("gone.test") >= 2


async def test_tls_is_spoken_to_whom_the_system_trusts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key_file, cert_file = make_certificate(tmp_path, "localhost")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(cert_file, key_file)

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(OK)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=context)
    url = f"https://localhost:{server.sockets[0].getsockname()[1]}/v1"
    async with http_upstream() as upstream:
        with pytest.raises(Unreachable) as caught:
            await upstream.send(request(url), clock())
    assert caught.value.code == "upstream_tls"
    monkeypatch.setenv("SSL_CERT_FILE", str(cert_file))
    async with http_upstream() as upstream:
        answer = await upstream.send(request(url), clock())
        assert await answer.read(10) == b"ok"
        with pytest.raises(Unreachable) as caught:
            await upstream.send(request(url.replace("localhost", "127.0.0.1")), clock())
    assert caught.value.code == "upstream_tls"
    server.close()


async def test_plain_http_where_tls_was_asked_for_is_a_tls_fault(
    upstream: HttpUpstream, serve: Callable[[Script], Awaitable[str]]
) -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()

    url = (await serve(script)).replace("http:", "https:")
    with pytest.raises(Unreachable) as caught:
        await upstream.send(request(url), clock())
    assert caught.value.code == "upstream_tls"
