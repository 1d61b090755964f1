"""The guard for addresses that clients name."""

import asyncio
import ipaddress
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from plexus_proxy import egress
from plexus_proxy.errors import BadRequest

PRIVATE = """
0.0.0.0 0.1.2.3 10.0.0.1 100.64.0.1 100.100.100.200 127.0.0.1 127.8.8.8 168.63.129.16 169.254.0.1
169.254.169.254 172.16.0.1 172.31.255.255 192.0.0.8 192.0.2.1 192.88.99.1 192.168.1.1 198.18.0.1
198.51.100.1 203.0.113.1 224.0.0.1 239.255.255.255 240.0.0.1 255.255.255.255
:: ::1 fc00::1 fd00:ec2::254 fe80::1 fec0::1 ff02::1 2001:db8::1 100::1 3fff::1
::ffff:127.0.0.1 ::ffff:169.254.169.254 64:ff9b::7f00:1 64:ff9b::a9fe:a9fe 64:ff9b:1::808:808
2002:7f00:1:: 2002:a00:1::1 2001:0:4136:e378:8000:63bf:3fff:fdd2
"""
PUBLIC = """
1.1.1.1 8.8.8.8 100.63.255.255 172.32.0.1 192.169.0.1 2606:4700:4700::1111 ::ffff:8.8.8.8
64:ff9b::808:808 2002:808:808::
"""
PIXEL = b"\x89PNG\r\n\x1a\n" + bytes(100)

NAMES = {"host", "accept", "accept-encoding", "connection", "user-agent"}

Serve = Callable[[Callable[[web.Request], Awaitable[web.StreamResponse]]], Awaitable[str]]


@pytest.mark.parametrize("address", PRIVATE.split())
def test_addresses_that_are_not_public(address: str) -> None:
    assert not egress.is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", PUBLIC.split())
def test_addresses_that_are_public(address: str) -> None:
    assert egress.is_public(ipaddress.ip_address(address))


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """A server on this machine that answers as it is told to; gives its URL."""
    servers: list[TestServer] = []

    async def start(answer: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> str:
        app = web.Application()
        app.router.add_get("/{path:.*}", answer)
        server = TestServer(app)
        await server.start_server()
        servers.append(server)
        return str(server.make_url("/a.png"))

    yield start
    for server in servers:
        await server.close()


async def fetch(url: str, **options: Any) -> egress.Fetched:
    options = {"max_bytes": 10_000, "allow_private": True} | options
    return (await egress.Fetcher().fetch([url], **options))[url]


async def pixel(_: web.Request) -> web.StreamResponse:
    return web.Response(body=PIXEL, content_type="image/png")


async def test_content_and_type_are_fetched(serve: Serve) -> None:
    assert await fetch(await serve(pixel)) == egress.Fetched("image/png", PIXEL)


async def test_nothing_of_ours_is_sent(serve: Serve) -> None:
    seen: dict[str, str] = {}

    async def answer(request: web.Request) -> web.StreamResponse:
        seen.update(request.headers)
        return web.Response()

    await fetch(await serve(answer))
    assert {name.lower() for name in seen} == NAMES


async def refusal(url: str, **options: Any) -> str:
    with pytest.raises(BadRequest) as refused:
        await fetch(url, **options)
    return str(refused.value)


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "2130706433", "0x7f.1", "127.1", "0"],
)
@pytest.mark.pitfall("P87")
async def test_this_machine_is_refused_however_it_is_spelled(serve: Serve, host: str) -> None:
    asked = 0

    async def answer(_: web.Request) -> web.StreamResponse:
        nonlocal asked
        asked += 1
        return web.Response()

    port = (await serve(answer)).rpartition(":")[2]
    said = await refusal(f"http://{host}:{port}", allow_private=False)
    assert "not public" in said or "cannot be fetched" in said
    assert asked == 0


@pytest.mark.pitfall("P87")
async def test_one_private_address_among_public_ones_is_enough(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve_to(monkeypatch, "8.8.8.8", "127.0.0.1")
    assert "not public" in await refusal("http://mixed.example/", allow_private=False)


def resolve_to(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> list[str]:
    """Every name leads to `addresses`, once; then elsewhere. Returns the names asked for."""
    asked: list[str] = []

    async def getaddrinfo(host: str, port: int, **_: Any) -> list[Any]:
        found = addresses if not asked else ["127.0.0.9"]
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, port)) for each in found]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
    return asked


async def test_a_name_is_resolved_once_and_that_address_is_used(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DNS rebinding: the second answer is never asked for."""
    url = await serve(pixel)
    port = url.partition("://")[2].partition(":")[2].partition("/")[0]
    asked = resolve_to(monkeypatch, "127.0.0.1")
    assert (await fetch(f"http://rebind.example:{port}/a")).body == PIXEL
    assert asked == ["rebind.example"]


async def test_redirects_are_not_followed(serve: Serve) -> None:
    inner = await serve(pixel)

    async def answer(_: web.Request) -> web.StreamResponse:
        raise web.HTTPFound(inner)

    assert "it redirects" in await refusal(await serve(answer))


async def test_too_much_is_not_read(serve: Serve) -> None:
    sent = 0

    async def answer(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse()
        await response.prepare(request)
        while sent < 100_000_000:
            await response.write(bytes(100_000))
            sent += 100_000
        return response

    assert "larger than 10000 bytes" in await refusal(await serve(answer))
    assert sent < 50_000_000


async def test_the_bound_is_for_all_urls_together(serve: Serve) -> None:
    url = await serve(pixel)
    urls = [url, url + "?2", url + "?3"]
    found = await egress.Fetcher().fetch(urls, max_bytes=3 * len(PIXEL), allow_private=True)
    assert [each.body for each in found.values()] == [PIXEL] * 3
    with pytest.raises(BadRequest, match="larger than"):
        await egress.Fetcher().fetch(urls, max_bytes=3 * len(PIXEL) - 1, allow_private=True)


async def test_compressed_content_is_refused(serve: Serve) -> None:
    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(body=b"x", headers={"content-encoding": "gzip"})

    assert "it is compressed" in await refusal(await serve(answer))


async def test_other_answers_are_refused(serve: Serve) -> None:
    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(status=403, text="secret")

    assert (
        await refusal(await serve(answer)) == "A URL on 127.0.0.1 cannot be used: it answers 403."
    )


async def test_a_silent_server_is_not_waited_for(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(egress, "FETCH_S", 0.2)
    released = asyncio.Event()

    async def answer(_: web.Request) -> web.StreamResponse:
        await released.wait()
        return web.Response()

    assert "in time" in await refusal(await serve(answer))
    released.set()


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("ftp://example.com/a", "Only http and https"),
        ("file:///etc/passwd", "Only http and https"),
        ("gopher://example.com/", "Only http and https"),
        ("http://", "Only http and https"),
        ("http://example.com:99999/", "cannot be read"),
        ("http://user:pa55@example.com/", "user name or password"),
        ("http://[::1/", "cannot be read"),
        ("http://no-such-host.invalid/?token=pa55", "cannot be fetched"),
    ],
)
async def test_urls_that_cannot_be_fetched(url: str, reason: str) -> None:
    said = await refusal(url)
    assert reason in said
    assert "pa55" not in said


async def test_a_request_names_a_bounded_number_of_urls() -> None:
    with pytest.raises(BadRequest, match="More than"):
        await egress.Fetcher().fetch([f"http://127.0.0.1/{n}" for n in range(51)], max_bytes=1)


async def test_what_clients_name_never_takes_all_look_ups(monkeypatch: pytest.MonkeyPatch) -> None:
    """A look-up that nobody waits for any more goes on in its thread."""
    answered = asyncio.Event()
    asked = 0

    async def getaddrinfo(*_: Any, **__: Any) -> list[Any]:
        nonlocal asked
        asked += 1
        await answered.wait()
        raise socket.gaierror("no such name")

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
    monkeypatch.setattr(egress, "FETCH_S", 0.05)
    fetcher = egress.Fetcher()
    for _ in range(2):
        refused = await asyncio.gather(
            *(fetcher.fetch([f"http://slow{n}.example/"], max_bytes=1) for n in range(5)),
            return_exceptions=True,
        )
        assert all("in time" in str(each) for each in refused)
        assert asked == egress.LOOKUPS
    answered.set()
    with pytest.raises(BadRequest, match=r"slow\.example cannot be used: it cannot be fetched"):
        await fetcher.fetch(["http://slow.example/"], max_bytes=1)


async def test_a_bounded_number_of_requests_is_fetched_for_at_a_time(serve: Serve) -> None:
    at_once = most = 0

    async def answer(_: web.Request) -> web.StreamResponse:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        await asyncio.sleep(0.02)
        at_once -= 1
        return web.Response(body=PIXEL)

    url = await serve(answer)
    fetcher = egress.Fetcher()
    found = await asyncio.gather(
        *(
            fetcher.fetch([url], max_bytes=1000, allow_private=True)
            for _ in range(2 * egress.REQUESTS)
        )
    )
    assert [each[url].body for each in found] == [PIXEL] * 2 * egress.REQUESTS
    assert most == egress.REQUESTS
