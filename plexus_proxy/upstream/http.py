"""HttpUpstream: sends requests over pooled HTTP/1.1 connections."""

import asyncio
import re
from base64 import b64encode
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import lru_cache

from msgspec import Struct
from yarl import URL

from plexus_proxy import tasks
from plexus_proxy.errors import Unreachable
from plexus_proxy.upstream.client import OutgoingRequest
from plexus_proxy.upstream.clock import PhaseClock
from plexus_proxy.upstream.connection import Connection, HttpAnswer, Origin
from plexus_proxy.upstream.faults import as_fault
from plexus_proxy.upstream.pool import SWEEP_S, Pool

_FIELDS = re.compile(r"(?:[!#$%&'*+.^_`|~0-9A-Za-z-]+: [^\r\n\0]*\r\n)*")


class HttpUpstream:
    """Upstream over a pool of connections."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def send(self, request: OutgoingRequest, clock: PhaseClock) -> HttpAnswer:
        """See Upstream.

        A kept connection that its provider closes before a single byte of the answer was found
        closed, not used: the request is sent again, once, on a new one.
        """
        try:
            target = _target(request.url)
            head = _head(target, request)
        except ValueError as error:
            raise as_fault(error) from error
        connection = self._pool.take(target.origin)
        if connection is not None:
            answer = connection.request(head, request.body)
            try:
                return await _arrived(connection, answer, clock)
            except Unreachable:
                if answer.touched:
                    raise
            clock.enter("connect")
        try:
            connection = await self._pool.connect(target.origin)
        except OSError as error:
            raise as_fault(error) from error
        return await _arrived(connection, connection.request(head, request.body), clock)


async def _arrived(connection: Connection, answer: HttpAnswer, clock: PhaseClock) -> HttpAnswer:
    try:
        if connection.congested:
            clock.enter("write")
            await answer.sent()
        clock.enter("headers")
        await answer.arrive()
    except BaseException:
        answer.close()
        raise
    return answer


class _Target(Struct, frozen=True):
    """A URL as a request needs it."""

    origin: Origin
    start: str
    """Request line and Host."""
    authorization: str
    """From user and password in the URL; empty if there are none."""


@lru_cache(maxsize=1024)
def _target(url: str) -> _Target:
    """Raises ValueError."""
    parsed = URL(url)
    if parsed.scheme not in ("http", "https") or not parsed.raw_host or not parsed.port:
        raise ValueError("not an http or https URL")
    host = parsed.host_port_subcomponent
    authorization = ""
    if parsed.user is not None:
        pair = f"{parsed.user}:{parsed.password or ''}"
        authorization = f"authorization: Basic {b64encode(pair.encode()).decode()}\r\n"
    return _Target(
        origin=Origin(parsed.scheme == "https", parsed.raw_host, parsed.port),
        start=f"POST {parsed.raw_path_qs} HTTP/1.1\r\nhost: {host}\r\n",
        authorization=authorization,
    )


def _head(target: _Target, request: OutgoingRequest) -> bytes:
    """Raises ValueError if a header's name or value cannot be sent."""
    headers = request.headers
    fields = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
    if _FIELDS.fullmatch(fields) is None or fields.count("\n") != len(headers):
        raise ValueError("a header that cannot be sent")
    if target.authorization and "authorization" not in headers:
        fields += target.authorization
    text = f"{target.start}{fields}content-length: {len(request.body)}\r\n\r\n"
    return text.encode("utf-8", "surrogateescape")


@asynccontextmanager
async def http_upstream() -> AsyncGenerator[HttpUpstream]:
    """An upstream without cookies, redirects, proxies or headers of its own."""
    pool = Pool()

    async def sweep() -> None:
        pool.sweep()

    try:
        async with tasks.every(SWEEP_S, sweep, name="idle connections"):
            yield HttpUpstream(pool)
    finally:
        pool.close()
        await asyncio.sleep(0)  # lets the closing transports run their callbacks
