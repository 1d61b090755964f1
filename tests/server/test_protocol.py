"""The HTTP edge, on raw sockets against a real server."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from aiohttp.http_parser import HttpRequestParserPy

from plexus_proxy.config.model import Limits, Shutdown
from plexus_proxy.drain import Drain
from plexus_proxy.server.listen import bind
from plexus_proxy.server.protocol import MAX_HEAD_BYTES
from plexus_proxy.server.service import Rules, Service

GET = b"GET /ok HTTP/1.1\r\nHost: a\r\n\r\n"
HIDDEN = b"GET /hidden HTTP/1.1\r\nHost: a\r\n\r\n"


class Edge:
    """A server whose paths answer with their own name and remember who was served."""

    def __init__(self, port: int, served: list[str], service: Service) -> None:
        self.port = port
        self.served = served
        self.service = service

    async def exchange(self, *pieces: bytes, pause_s: float = 0.0, quiet_s: float = 0.2) -> bytes:
        """Send the pieces one by one until the server closes; everything it said until it closed
        or was silent for `quiet_s` after the last piece."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        said = bytearray()

        async def listen() -> None:
            try:
                while data := await reader.read(65536):
                    said.extend(data)
            except ConnectionError:
                pass
            said.extend(b"<closed>")

        listening = asyncio.create_task(listen())
        for piece in pieces:
            if listening.done():
                break
            writer.write(piece)
            await asyncio.sleep(pause_s)
        size = -1
        while not listening.done() and size != len(said):
            size = len(said)
            await asyncio.wait([listening], timeout=quiet_s)
        listening.cancel()
        writer.close()
        return bytes(said)


@pytest.fixture
async def edge() -> AsyncIterator[Edge]:
    served: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        served.append(request.path)
        body = await request.read()
        return web.Response(text=f"{request.path} {len(body)}")

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    rules = Rules(limits=Limits(head_s=0.4), shutdown=Shutdown(drain_s=0, grace_s=5))
    service = Service(app, Drain(), lambda: rules)
    sockets = bind("127.0.0.1", 0)
    await service.start(sockets)
    yield Edge(sockets[0].getsockname()[1], served, service)
    service.hurry.set()
    await service.stop()


@pytest.fixture(params=["compiled", "pure"])
def parser(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """aiohttp has two parsers; which one runs depends on the platform."""
    if request.param == "pure":
        monkeypatch.setattr("aiohttp.web_protocol.HttpRequestParser", HttpRequestParserPy)


async def test_an_ordinary_request_is_served(edge: Edge) -> None:
    assert b"200 OK" in await edge.exchange(GET)


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(
            b"POST /first HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            id="transfer encoding in HTTP/1.0",
        ),
        pytest.param(
            b"POST /first HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            id="transfer encoding in HTTP/1.0 kept alive",
        ),
        pytest.param(
            b"POST /first HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            id="length and chunked",
        ),
        pytest.param(
            b"POST /first HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n"
            b"Content-Length: 5\r\n\r\n0\r\n\r\n",
            id="chunked and length",
        ),
        pytest.param(
            b"POST /first HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 0\r\n\r\n",
            id="two lengths",
        ),
        pytest.param(
            b"POST /first HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n"
            b"0\r\n\r\n",
            id="chunked is not last",
        ),
        pytest.param(
            b"POST /first HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
            id="unknown transfer encoding",
        ),
        pytest.param(
            b"POST /first HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
            id="space before the colon",
        ),
        pytest.param(
            b"GET /first HTTP/1.1\r\nHost: a\r\nX: b\r\n folded: c\r\n\r\n", id="folded header"
        ),
        pytest.param(b"GET /first HTTP/1.1\nHost: a\n\n", id="bare line feeds"),
    ],
)
@pytest.mark.usefixtures("parser")
async def test_ambiguous_framing_is_refused_and_nothing_behind_it_is_served(
    edge: Edge, head: bytes
) -> None:
    said = await edge.exchange(head + HIDDEN)
    assert said.startswith(b"HTTP/1.1 400 ") or said.startswith(b"HTTP/1.0 400 ")
    assert said.endswith(b"<closed>")
    assert "/hidden" not in edge.served
    assert "/first" not in edge.served


@pytest.mark.usefixtures("parser")
async def test_ambiguous_framing_behind_a_declined_upgrade_is_refused(edge: Edge) -> None:
    upgrade = b"GET /ok HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"
    tail = b"POST /first HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    said = await edge.exchange(upgrade + tail + HIDDEN)
    assert b" 400 " in said
    assert edge.served == ["/ok"]


@pytest.mark.parametrize("method", [b"TRACE", b"CONNECT"])
async def test_tunnelling_methods_are_refused(edge: Edge, method: bytes) -> None:
    target = b"b:443" if method == b"CONNECT" else b"/first"
    said = await edge.exchange(method + b" " + target + b" HTTP/1.1\r\nHost: b:443\r\n\r\n")
    assert b" 405 " in said
    assert edge.served == []


@pytest.mark.parametrize(
    "host", [b"a b", b"a/b", b"a?b", b"a#b", b"u@a", b"", b"a:b", b"[::1", b"\xff"]
)
async def test_a_host_that_is_no_host_name_is_refused(edge: Edge, host: bytes) -> None:
    said = await edge.exchange(b"GET /first HTTP/1.1\r\nHost: " + host + b"\r\n\r\n")
    assert b" 400 " in said
    assert edge.served == []


@pytest.mark.parametrize("host", [b"a", b"my_service:4000", b"127.0.0.1:1", b"[::1]:4000", b"x.y."])
async def test_usual_hosts_are_served(edge: Edge, host: bytes) -> None:
    assert b"200 OK" in await edge.exchange(b"GET /ok HTTP/1.1\r\nHost: " + host + b"\r\n\r\n")


async def test_a_missing_host_is_refused_in_http_1_1_only(edge: Edge) -> None:
    assert b" 400 " in await edge.exchange(b"GET /ok HTTP/1.1\r\n\r\n")
    assert b"200 OK" in await edge.exchange(b"GET /ok HTTP/1.0\r\n\r\n")


async def test_two_hosts_are_refused(edge: Edge) -> None:
    said = await edge.exchange(b"GET /first HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")
    assert b" 400 " in said
    assert edge.served == []


async def test_what_is_not_http_gets_a_400_that_echoes_nothing(edge: Edge) -> None:
    said = await edge.exchange(b"\x16\x03\x01secret-bytes\r\n\r\n")
    assert b" 400 " in said
    assert b"secret-bytes" not in said
    assert b"x-request-id: " in said.lower()


async def test_a_malformed_header_is_not_echoed(edge: Edge) -> None:
    said = await edge.exchange(b"GET /first HTTP/1.1\r\nHost: a\r\nkey\x00sk-canary: 1\r\n\r\n")
    assert b" 400 " in said
    assert b"sk-canary" not in said


def _fields(total: int) -> bytes:
    return b"".join(b"x-%03d: %s\r\n" % (i, b"v" * 991) for i in range(total // 1000))


@pytest.mark.parametrize("pieces", [1, 2, 7])
async def test_a_head_over_the_limit_is_refused_in_any_number_of_pieces(
    edge: Edge, pieces: int
) -> None:
    head = b"GET /first HTTP/1.1\r\nHost: a\r\n" + _fields(MAX_HEAD_BYTES + 4000) + b"\r\n"
    step = len(head) // pieces + 1
    said = await edge.exchange(
        *(head[i : i + step] for i in range(0, len(head), step)), pause_s=0.01
    )
    assert b" 431 " in said
    assert edge.served == []


async def test_an_endless_head_is_refused_before_it_is_complete(edge: Edge) -> None:
    said = await edge.exchange(b"GET /first HTTP/1.1\r\n" + _fields(MAX_HEAD_BYTES + 4000))
    assert b" 431 " in said
    assert said.endswith(b"<closed>")


async def test_a_head_under_the_limit_with_a_large_body_is_served(edge: Edge) -> None:
    body = b"b" * 200_000
    head = b"POST /ok HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\n" + _fields(20_000)
    assert b"/ok 200000" in await edge.exchange(head + b"\r\n" + body)


async def test_a_head_that_dribbles_in_is_cut_off(edge: Edge) -> None:
    started = time.monotonic()
    dribble = [bytes([byte]) for byte in GET[:20]]
    said = await edge.exchange(*dribble, pause_s=0.1)
    assert b" 408 " in said
    assert said.endswith(b"<closed>")
    assert time.monotonic() - started < 4
    assert edge.served == []


async def test_a_second_head_that_dribbles_in_is_cut_off(edge: Edge) -> None:
    dribble = [bytes([byte]) for byte in GET[:20]]
    said = await edge.exchange(GET, *dribble, pause_s=0.1)
    assert b"200 OK" in said
    assert b" 408 " in said


async def test_a_head_that_stops_halfway_is_cut_off(edge: Edge) -> None:
    said = await edge.exchange(GET[:20], quiet_s=4)
    assert b" 408 " in said
    assert said.endswith(b"<closed>")


async def test_an_idle_connection_is_not_taken_for_a_slow_one(edge: Edge) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", edge.port)
    await asyncio.sleep(1.2)
    for _ in range(2):
        writer.write(GET)
        assert b"200 OK" in await reader.read(1000)
        await asyncio.sleep(1.2)
    writer.close()


async def test_a_body_that_takes_longer_than_a_head_may_is_served(edge: Edge) -> None:
    head = b"POST /ok HTTP/1.1\r\nHost: a\r\nContent-Length: 12\r\n\r\n"
    said = await edge.exchange(head, *[b"b"] * 12, pause_s=0.12)
    assert b"/ok 12" in said


async def test_pipelined_requests_are_served_in_order(edge: Edge) -> None:
    said = await edge.exchange(GET + b"GET /two HTTP/1.1\r\nHost: a\r\n\r\n")
    assert edge.served == ["/ok", "/two"]
    assert said.count(b"200 OK") == 2
