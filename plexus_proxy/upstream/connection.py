"""One HTTP/1.1 connection to a provider, and the answer that is arriving on it.

Push mode: bytes from the socket are parsed and handed to the sink in the same call, no task is
woken per chunk. A sink that asks for a pause stops the reading of the socket. Framing is judged by
llhttp's strict rules; what breaks them ends the connection. Source: RFC 9112.
"""

import asyncio
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import NamedTuple, cast

import httptools

from plexus_proxy.errors import Garbled, PlexusError, Unreachable
from plexus_proxy.upstream.client import Sink
from plexus_proxy.upstream.decoding import Inflater, inflater

MAX_HEAD_BYTES = 64 * 1024
HIGH_WATER_BYTES = 64 * 1024
"""What may wait for a reader before the socket is left alone."""
_ONE_WRITE_BYTES = 64 * 1024
_FINAL = 200


class Origin(NamedTuple):
    """Where a connection leads."""

    secure: bool
    host: str
    port: int


class HttpAnswer:
    """See Answer. Fed by its connection."""

    __slots__ = (
        "_buffered",
        "_complete",
        "_connection",
        "_fault",
        "_inflater",
        "_loop",
        "_parts",
        "_sink",
        "_waiter",
        "headers",
        "status",
        "touched",
    )

    def __init__(self, connection: "Connection", loop: asyncio.AbstractEventLoop) -> None:
        self.status = 0
        self.headers: Mapping[str, str] = {}
        self.touched = False
        """At least one byte has come."""
        self._connection: Connection | None = connection
        self._loop = loop
        self._complete = False
        self._fault: PlexusError | None = None
        self._inflater: Inflater | None = None
        self._parts: list[bytes] = []
        self._buffered = 0
        self._sink: Sink | None = None
        self._waiter: asyncio.Future[bool] | None = None

    async def arrive(self) -> None:
        """Wait for the head. Raises UpstreamFault."""
        while not self.status:
            await self._wait()

    async def sent(self) -> None:
        """Wait until the request has been sent, or the head has come without that."""
        while not self.status and (connection := self._connection) and connection.congested:
            await self._wait()

    async def _wait(self) -> bool:
        if self._fault is not None:
            raise self._fault
        self._waiter = self._loop.create_future()
        try:
            return await self._waiter
        finally:
            self._waiter = None

    async def read(self, limit_bytes: int) -> bytes:
        declared = self.headers.get("content-length", "")
        if declared.isdigit() and int(declared) > limit_bytes:
            raise _too_large()
        if self._complete and self._inflater is None and self._buffered <= limit_bytes:
            return self._next()
        chunks: list[bytes] = []
        size = 0

        def take(chunk: bytes) -> bool:
            nonlocal size
            size += len(chunk)
            chunks.append(chunk)
            return size <= limit_bytes

        if not await self.pour(take) or size > limit_bytes:
            raise _too_large()
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    async def pour(self, sink: Sink) -> bool:
        while chunk := self._next():
            if not sink(chunk):
                return False
        if self._complete:
            if self._inflater is not None:
                self._inflater.finish()
            return True
        if self._connection is not None:
            self._connection.resume_reading()
        self._sink = sink
        try:
            return await self._wait()
        finally:
            self._sink = None

    def close(self) -> None:
        self._parts.clear()
        if self._connection is not None:
            self._connection.abort()

    def _next(self) -> bytes:
        """What has come and was not yet poured, decoded."""
        if self._parts:
            data = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
            self._parts.clear()
            self._buffered = 0
            if self._inflater is None:
                return data
            self._inflater.feed(data)
        return self._inflater.next() if self._inflater is not None else b""

    # The connection's side.

    def wake(self, result: bool = True) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(result)

    def start(self, status: int, headers: dict[str, str]) -> None:
        """The head has come. Raises Garbled."""
        if coding := headers.get("content-encoding"):
            self._inflater = inflater(coding)
        self.status = status
        self.headers = headers
        self.wake()

    def feed(self, data: bytes) -> None:
        """A piece of the body has come."""
        sink = self._sink
        if sink is None:
            self._parts.append(data)
            self._buffered += len(data)
            if self._buffered > HIGH_WATER_BYTES and self._connection is not None:
                self._connection.pause_reading()
            return
        try:
            if self._inflater is None:
                if not sink(data):
                    self._pause()
                return
            self._parts.append(data)
            while chunk := self._next():
                if not sink(chunk):
                    self._pause()
                    return
        except Exception as error:  # the sink's, for whoever called pour
            self._pause(error)

    def _pause(self, error: Exception | None = None) -> None:
        """The sink takes nothing more, for now or because it failed."""
        self._sink = None
        if self._connection is not None:
            self._connection.pause_reading()
        if error is None:
            self.wake(False)
        elif self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(error)

    def end(self) -> None:
        """The body is complete."""
        self._connection = None
        if self._inflater is not None and self._sink is not None:
            try:
                self._inflater.finish()
            except Garbled as fault:
                self.fail(fault)
                return
        self._complete = True
        self.wake()

    def fail(self, fault: PlexusError) -> None:
        """Nothing more will come."""
        self._connection = None
        self._fault = fault
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(fault)


class Connection(asyncio.Protocol):
    """Serves one request at a time; gives itself back when the answer is complete."""

    __slots__ = (
        "_answer",
        "_complete",
        "_framed",
        "_head_bytes",
        "_headers",
        "_keep_alive",
        "_loop",
        "_lost",
        "_parser",
        "_parts",
        "_reading",
        "_released",
        "_transport",
        "congested",
        "on_body",
        "origin",
    )

    def __init__(
        self,
        origin: Origin,
        loop: asyncio.AbstractEventLoop,
        *,
        released: Callable[["Connection"], None],
        lost: Callable[["Connection"], None],
    ) -> None:
        """`released` is told when the next request may be sent, `lost` when there is no more."""
        self.origin = origin
        self.congested = False
        """A part of the request is waiting to be sent."""
        self._loop = loop
        self._released = released
        self._lost = lost
        self._transport: asyncio.Transport | None = None
        self._answer: HttpAnswer | None = None
        self._reading = True
        self._parts: list[bytes] = []
        self.on_body = self._parts.append
        self._parser = httptools.HttpResponseParser(self)
        # As forgiving as other clients are, where nothing can be read in two ways.
        self._parser.set_dangerous_leniencies(
            lenient_optional_cr_before_lf=True, lenient_spaces_after_chunk_size=True
        )
        self._begin()

    def _begin(self) -> None:
        self._headers: dict[str, str] = {}
        self._head_bytes = 0
        self._framed = True
        self._complete = False
        self._keep_alive = False

    @property
    def usable(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def request(self, head: bytes, body: bytes) -> HttpAnswer:
        """Send a request; the answer is still to arrive."""
        transport = self._transport
        answer = self._answer = HttpAnswer(self, self._loop)
        self._begin()
        if transport is None:
            answer.fail(_closed())
        elif len(body) <= _ONE_WRITE_BYTES:
            transport.write(head + body)
        else:
            transport.write(head)
            transport.write(body)
        return answer

    def abort(self) -> None:
        """End the connection at once; an answer that is still arriving fails."""
        if self._transport is not None:
            self._transport.abort()
        if self._answer is not None:
            self._answer.fail(_closed())
            self._answer = None

    def close(self) -> None:
        """End an idle connection."""
        if self._transport is not None:
            self._transport.close()

    def pause_reading(self) -> None:
        if self._reading and self._transport is not None:
            self._reading = False
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        if not self._reading and self._transport is not None:
            self._reading = True
            if not self._transport.is_closing():
                self._transport.resume_reading()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def pause_writing(self) -> None:
        self.congested = True

    def resume_writing(self) -> None:
        self.congested = False
        if self._answer is not None and not self._answer.status:
            self._answer.wake()

    def data_received(self, data: bytes) -> None:
        answer = self._answer
        if answer is None:  # nothing was asked
            self.abort()
            return
        answer.touched = True
        fault: PlexusError | None = None
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            known = error.__context__
            fault = known if isinstance(known, PlexusError) else _not_http()
        if not answer.status and not fault:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                fault = Garbled("The head of the provider's answer is too large.")
        parts = self._parts
        if parts:
            body = parts[0] if len(parts) == 1 else b"".join(parts)
            parts.clear()
            answer.feed(body)
        if self._complete:
            self._finish(answer, broken=fault is not None)
        elif fault is not None:
            self._answer = None
            answer.fail(fault)
            self.abort()

    def _finish(self, answer: HttpAnswer, *, broken: bool) -> None:
        self._answer = None
        transport = self._transport
        # A request that was not sent to its end, or bytes behind the answer, would spoil the next.
        if broken or not self._keep_alive or transport is None or transport.get_write_buffer_size():
            self.abort()
        else:
            self.resume_reading()
            self._released(self)
        answer.end()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._lost(self)
        answer, self._answer = self._answer, None
        if answer is None:
            return
        if not answer.status:
            answer.fail(_closed())
        elif self._framed or exc is not None:
            answer.fail(_cut())
        else:
            answer.end()  # this answer lasts for as long as its connection

    # httptools.HttpResponseParser

    def on_message_begin(self) -> None:
        if self._complete:
            raise _not_http()  # bytes behind the answer

    def on_header(self, name: bytes, value: bytes) -> None:
        headers = self._headers  # trailers go to a mapping that nobody reads
        key = _lower(name)
        text = value.rstrip(b" \t").decode("utf-8", "surrogateescape")
        headers[key] = f"{headers[key]}, {text}" if key in headers else text

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        headers, self._headers = self._headers, {}
        if status < _FINAL or self._answer is None:
            return  # 100 Continue and the like
        self._framed = "content-length" in headers or "transfer-encoding" in headers
        self._answer.start(status, headers)

    def on_message_complete(self) -> None:
        if self._answer is not None and self._answer.status:
            self._complete = True
            self._keep_alive = self._parser.should_keep_alive()


@lru_cache(maxsize=512)
def _lower(name: bytes) -> str:
    return name.decode("latin-1").lower()


def _not_http() -> Garbled:
    return Garbled("The provider did not answer in valid HTTP.")


def _closed() -> Unreachable:
    return Unreachable("The provider closed the connection without an answer.")


def _cut() -> Garbled:
    return Garbled("The provider's answer ended early or is badly encoded.", code="upstream_cut")


def _too_large() -> Garbled:
    return Garbled("The provider's answer is too large.", code=Garbled.TOO_LARGE)
