"""Requests to providers, behind one small interface: send a request, get status and headers, then
have the body pushed, chunk by chunk, into a sink that can ask for a pause.

`SessionUpstream` serves it with aiohttp's ClientSession. Nothing outside this file knows that.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import lru_cache
from typing import Protocol

import aiohttp
from aiohttp import hdrs
from aiohttp.abc import AbstractStreamWriter
from msgspec import Struct
from yarl import URL

from plexus_proxy.errors import Garbled
from plexus_proxy.upstream.clock import PhaseClock
from plexus_proxy.upstream.faults import FOREIGN, as_fault

Sink = Callable[[bytes], bool]
"""Takes a chunk at once; False asks for a pause: `pour` then returns and may be called again."""

_NO_TIMEOUT = aiohttp.ClientTimeout(total=None, connect=None, sock_connect=None, sock_read=None)
_READ_BUFFER_BYTES = 64 * 1024


class OutgoingRequest(Struct, frozen=True, gc=False):
    """A POST to a provider; `headers` hold the credential."""

    url: str
    headers: Mapping[str, str]
    body: bytes

    def __repr__(self) -> str:
        return f"OutgoingRequest({len(self.body)} bytes)"


class Answer(Protocol):
    """A provider's answer whose head has arrived. Must be closed, read to the end or not."""

    status: int
    headers: Mapping[str, str]
    """Names in any case; look-ups ignore it."""

    async def read(self, limit_bytes: int) -> bytes:
        """The whole body. Raises Garbled if it is cut or larger than the limit."""
        ...

    async def pour(self, sink: Sink) -> bool:
        """Push chunks until the body ends (True) or the sink asks for a pause (False)."""
        ...

    def close(self) -> None:
        """Give the connection back, or end it if the body was not read to its end."""
        ...


class Upstream(Protocol):
    """Something that can send a request to a provider."""

    async def send(self, request: OutgoingRequest, clock: PhaseClock) -> Answer:
        """Raises UpstreamFault. Moves `clock` through connect, write and headers."""
        ...


class _TimedBody(aiohttp.Payload):
    """The request body; tells the clock when sending starts and ends."""

    _value: bytes
    _autoclose = True

    def __init__(self, value: bytes, clock: PhaseClock) -> None:
        super().__init__(value, content_type="application/json")
        self._size = len(value)
        self._clock = clock
        self.sent = False

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        return self._value.decode(encoding, errors)

    async def write(self, writer: AbstractStreamWriter) -> None:
        self._clock.enter("write")
        await writer.write(self._value)
        self.sent = True
        if self._clock.phase == "write":  # the head of the answer may already be here
            self._clock.enter("headers")

    async def write_with_length(
        self, writer: AbstractStreamWriter, content_length: int | None
    ) -> None:
        await self.write(writer)


class _SessionAnswer:
    """Answer over an aiohttp ClientResponse."""

    __slots__ = ("_response", "headers", "status")

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers

    async def read(self, limit_bytes: int) -> bytes:
        response = self._response
        if response.content_length is not None and response.content_length > limit_bytes:
            raise Garbled("The provider's answer is too large.", code="upstream_too_large")
        chunks: list[bytes] = []
        size = 0
        content = response.content
        try:
            while chunk := await content.readany():
                size += len(chunk)
                if size > limit_bytes:
                    raise Garbled("The provider's answer is too large.", code="upstream_too_large")
                chunks.append(chunk)
        except FOREIGN as error:
            raise as_fault(error) from error
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    async def pour(self, sink: Sink) -> bool:
        content = self._response.content
        while True:
            try:
                chunk = await content.readany()
            except FOREIGN as error:
                raise as_fault(error) from error
            if not chunk:
                return True
            if not sink(chunk):
                return False

    def close(self) -> None:
        # An answer read to its end has released its connection already; then this does nothing.
        self._response.close()


class SessionUpstream:
    """Upstream over one ClientSession."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def send(self, request: OutgoingRequest, clock: PhaseClock) -> Answer:
        body = _TimedBody(request.body, clock)
        try:
            response = await self._session.post(
                _url(request.url), data=body, headers=request.headers, allow_redirects=False
            )
        except FOREIGN as error:
            raise as_fault(error) from error
        if not body.sent and response.connection is not None:
            # Answered before the request was read: what is still unsent would spoil the
            # connection for the next request (aiohttp 3.14 would reuse it).
            protocol = response.connection.protocol
            if protocol is not None:
                protocol.force_close()
        return _SessionAnswer(response)


@lru_cache(maxsize=1024)
def _url(url: str) -> URL:
    return URL(url)


@asynccontextmanager
async def session_upstream() -> AsyncGenerator[SessionUpstream]:
    """A ClientSession without cookies, redirects, limits or default headers of its own."""
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=60, ttl_dns_cache=60)
    async with aiohttp.ClientSession(
        connector=connector,
        timeout=_NO_TIMEOUT,
        cookie_jar=aiohttp.DummyCookieJar(),
        skip_auto_headers=(hdrs.USER_AGENT,),
        read_bufsize=_READ_BUFFER_BYTES,
        auto_decompress=True,
        requote_redirect_url=False,
        trust_env=False,
    ) as session:
        yield SessionUpstream(session)
        await asyncio.sleep(0)  # lets closing transports run their callbacks
