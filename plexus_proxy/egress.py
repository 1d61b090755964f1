"""The guard for addresses that clients name: images and documents by URL.

A host is resolved once, every address it has must be public, and the connection goes to one of
those very addresses, so that a name cannot point elsewhere a moment later. No redirect is followed,
no credential, cookie or proxy is used, and time and size are bounded. Provider URLs are not its
business: the operator wrote those.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Sequence

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from msgspec import Struct
from yarl import URL

from plexus_proxy import tasks
from plexus_proxy.errors import BadRequest

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

FETCH_S = 20.0
"""For all that one request names, from the first look-up to the last byte."""
MAX_URLS = 50
REQUESTS = 16
"""So many may be fetched for at a time, each up to its number of bytes."""
LOOKUPS = 2
"""Of the four that the event loop has threads for: providers' names are looked up there too."""
_REDIRECTS = range(300, 400)
_DENIED = (
    ipaddress.ip_network("168.63.129.16/32"),  # Azure's metadata, on a public address
    ipaddress.ip_network("192.0.0.0/24"),  # protocol assignments (RFC 6890)
    ipaddress.ip_network("192.88.99.0/24"),  # 6to4 relays (RFC 7526)
    ipaddress.ip_network("3fff::/20"),  # documentation (RFC 9637)
    ipaddress.ip_network("64:ff9b:1::/48"),  # NAT64 of networks' own (RFC 8215)
)
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


class Fetched(Struct, frozen=True):
    """What stood at an address; `media_type` is what its server called it."""

    media_type: str
    body: bytes


class Fetcher:
    """Fetches what clients name, for all requests of a process: so many at a time that neither its
    memory nor the look-ups of providers' names suffer. Who waits too long is told so."""

    def __init__(self) -> None:
        self._requests = asyncio.Semaphore(REQUESTS)
        self._lookups = asyncio.Semaphore(LOOKUPS)

    async def fetch(
        self, urls: Sequence[str], *, max_bytes: int, allow_private: bool = False
    ) -> dict[str, Fetched]:
        """What stands at each URL, of at most `max_bytes` together, one after the other.

        `allow_private` lifts the rule about addresses, and no other. Raises BadRequest, which names
        only the host: what follows it may be a secret.
        """
        if len(urls) > MAX_URLS:
            raise BadRequest(f"More than {MAX_URLS} URLs would have to be fetched for this model.")
        found: dict[str, Fetched] = {}
        left = max_bytes
        try:
            async with asyncio.timeout(FETCH_S), self._requests:
                for url in urls:
                    found[url] = await self._fetch(url, left, allow_private=allow_private)
                    left -= len(found[url].body)
        except TimeoutError as error:
            raise BadRequest("The URLs in the request could not be fetched in time.") from error
        return found

    async def _fetch(self, url: str, max_bytes: int, *, allow_private: bool) -> Fetched:
        target = _checked(url)
        try:
            addresses = await self._resolve(target)
            if not allow_private and not all(map(is_public, addresses)):
                raise _refused(target, "its address is not public")
            return await _get(target, addresses, max_bytes)
        except (aiohttp.ClientError, OSError) as error:
            if isinstance(error, TimeoutError):
                raise
            raise _refused(target, "it cannot be fetched") from error

    async def _resolve(self, target: URL) -> Sequence[Address]:
        """A look-up that is given up still keeps a thread busy, and its place with it."""
        loop = asyncio.get_running_loop()
        await self._lookups.acquire()
        looking = tasks.spawn(_looked_up(loop, target), name="look up")
        looking.add_done_callback(lambda _: self._lookups.release())
        found = await asyncio.shield(looking)
        if isinstance(found, OSError):
            raise found
        return found


async def _looked_up(loop: asyncio.AbstractEventLoop, target: URL) -> Sequence[Address] | OSError:
    try:
        found = await loop.getaddrinfo(target.raw_host, target.port, type=socket.SOCK_STREAM)
    except OSError as error:
        return error  # perhaps nobody waits for it any more
    addresses = [ipaddress.ip_address(str(address[0])) for *_, address in found]
    return list(dict.fromkeys(addresses))


def is_public(address: Address) -> bool:
    """Whether anyone on the internet could reach it: not private, shared, link-local, loopback,
    multicast or reserved, nor a spelling of such an address in IPv6."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = _embedded(address)
        if inner is not None:
            return is_public(inner)
        if address.is_site_local:
            return False
    if any(address in network for network in _DENIED):
        return False
    return address.is_global and not address.is_multicast and not address.is_reserved


def _embedded(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address that packets to an IPv6 address end up at."""
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address.teredo is not None:
        return address.teredo[1]
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    return None


def _checked(url: str) -> URL:
    try:
        target = URL(url)
        port = target.port
    except ValueError:
        raise BadRequest("A URL in the request cannot be read.") from None
    if target.scheme not in ("http", "https") or not target.raw_host or port is None:
        raise BadRequest("Only http and https URLs can be fetched for this model.")
    if target.user is not None or target.password is not None:
        raise _refused(target, "it holds a user name or password")
    return target


class _Pinned(AbstractResolver):
    """Answers with the addresses that have been checked, whatever is asked."""

    def __init__(self, addresses: Sequence[Address]) -> None:
        self._addresses = addresses

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        return [
            ResolveResult(
                hostname=host,
                host=str(address),
                port=port,
                family=socket.AF_INET if address.version == 4 else socket.AF_INET6,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address in self._addresses
        ]

    async def close(self) -> None:
        pass


async def _get(target: URL, addresses: Sequence[Address], max_bytes: int) -> Fetched:
    async with (
        aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                resolver=_Pinned(addresses), use_dns_cache=False, force_close=True
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,  # a few bytes must not become many
            headers={"accept-encoding": "identity", "user-agent": "plexus-proxy"},
        ) as session,
        session.get(target, allow_redirects=False) as response,
    ):
        if response.status in _REDIRECTS:
            raise _refused(target, "it redirects")
        if response.status != 200:
            raise _refused(target, f"it answers {response.status}")
        if response.headers.get("content-encoding", "identity").lower() != "identity":
            raise _refused(target, "it is compressed")
        body = bytearray()
        async for chunk in response.content.iter_any():
            body += chunk
            if len(body) > max_bytes:
                raise _refused(target, f"it is larger than {max_bytes} bytes")
        return Fetched(response.content_type, bytes(body))


def _refused(target: URL, reason: str) -> BadRequest:
    return BadRequest(f"A URL on {target.raw_host} cannot be used: {reason}.")
