"""A provider that plays a script: a real aiohttp server on a port of its own.

A script is a list of steps, one list per request:

    fake.enqueue(Head(), Chunk(b"data: …\\n\\n"), Pause(0.1), Drop())

Scripts are used up in order; when none is left, `fake.default` is played (a list, or a function of
the request). Everything that arrives is kept in `fake.requests`. Shares no code with the package.
"""

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

JSON = "application/json"
SSE = "text/event-stream; charset=utf-8"


@dataclass(frozen=True)
class Whole:
    """A complete answer with Content-Length."""

    body: bytes | str | Mapping[str, Any] | Sequence[Any] = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=lambda: {"content-type": JSON})

    def encoded(self) -> bytes:
        if isinstance(self.body, bytes):
            return self.body
        if isinstance(self.body, str):
            return self.body.encode()
        return json.dumps(self.body).encode()


@dataclass(frozen=True)
class Head:
    """Status and headers of a chunked answer; chunks follow."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=lambda: {"content-type": SSE})


@dataclass(frozen=True)
class Chunk:
    """Bytes of the body, as one write."""

    data: bytes


@dataclass(frozen=True)
class Raw:
    """Bytes onto the socket as they are, in place of an HTTP answer."""

    data: bytes


@dataclass(frozen=True)
class Pause:
    seconds: float


@dataclass(frozen=True)
class Until:
    """Goes on once the test sets the event."""

    event: asyncio.Event


@dataclass(frozen=True)
class Hang:
    """Silence until the caller ends the connection."""


@dataclass(frozen=True)
class Drop:
    """The connection breaks."""


@dataclass(frozen=True)
class Unread:
    """As the first step: the request's body is not read."""


@dataclass(frozen=True)
class Flood:
    """`pieces` times the same bytes, each sent only when the caller has taken the one before."""

    piece: bytes
    pieces: int


Step = Whole | Head | Chunk | Raw | Pause | Until | Hang | Drop | Unread | Flood


@dataclass
class Received:
    """One request as it came, and what became of it."""

    method: str
    path: str
    query: str
    raw_headers: list[tuple[str, str]]
    body: bytes = b""
    arrived: float = field(default_factory=time.monotonic)
    sent_bytes: int = 0
    """Of the answer's body: what the caller's side has accepted."""
    over: asyncio.Event = field(default_factory=asyncio.Event)
    """The script has ended, or the caller has cut the connection."""
    cut: bool = False
    cut_at: float | None = None

    @property
    def headers(self) -> dict[str, str]:
        """By lower-case name; a repeated one shows up joined by a bar."""
        out: dict[str, str] = {}
        for name, value in self.raw_headers:
            out[name.lower()] = f"{out[name.lower()]}|{value}" if name.lower() in out else value
        return out

    def json(self) -> Any:
        return json.loads(self.body)


Default = Sequence[Step] | Callable[[Received], Sequence[Step]]


class FakeProvider:
    """See the module. `strict` may refuse a request: it gives the Whole to answer with, or None."""

    def __init__(self) -> None:
        self.requests: list[Received] = []
        self.default: Default = [Whole({"error": {"message": "no script"}}, 599)]
        self.strict: Callable[[Received], Whole | None] | None = None
        self.open = 0
        """Connections that are being answered right now."""
        self.port = 0
        self.server: web.Server | None = None
        self._scripts: list[Sequence[Step]] = []
        self._arrival = asyncio.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def connections(self) -> int:
        """Open connections, idle ones too."""
        return len(self.server.connections) if self.server else 0

    def enqueue(self, *steps: Step) -> None:
        """The script of the next request that has none yet."""
        self._scripts.append(steps)

    def forget(self) -> None:
        """All requests so far, and all scripts."""
        self.requests.clear()
        self._scripts.clear()

    @property
    def last(self) -> Received:
        return self.requests[-1]

    async def arrived(self, count: int = 1, timeout: float = 5) -> Received:
        """Wait until `count` requests have arrived; gives the newest."""
        async with asyncio.timeout(timeout):
            while len(self.requests) < count:
                self._arrival.clear()
                await self._arrival.wait()
        return self.requests[count - 1]

    async def serve(self, request: web.Request) -> web.StreamResponse:
        received = Received(
            request.method,
            request.path,
            request.query_string,
            [(name.decode(), value.decode("latin-1")) for name, value in request.raw_headers],
        )
        self.open += 1
        try:
            return await self._play(request, received)
        except (asyncio.CancelledError, ConnectionError):
            received.cut = True
            received.cut_at = time.monotonic()
            raise
        finally:
            self.open -= 1
            received.over.set()

    async def _play(self, request: web.Request, received: Received) -> web.StreamResponse:
        steps = self._scripts.pop(0) if self._scripts else None
        if not (steps and isinstance(steps[0], Unread)):
            received.body = await request.read()
        self.requests.append(received)
        self._arrival.set()
        if self.strict is not None and (refusal := self.strict(received)) is not None:
            steps = [refusal]
        if steps is None:
            steps = self.default(received) if callable(self.default) else self.default
        response: web.StreamResponse | None = None
        for step in steps:
            match step:
                case Whole():
                    body = step.encoded()
                    response = web.StreamResponse(status=step.status, headers=step.headers)
                    response.content_length = len(body)
                    await response.prepare(request)
                    await response.write(body)
                    received.sent_bytes += len(body)
                case Head():
                    response = web.StreamResponse(status=step.status, headers=step.headers)
                    response.enable_chunked_encoding()
                    await response.prepare(request)
                case Chunk():
                    assert response is not None
                    await response.write(step.data)
                    received.sent_bytes += len(step.data)
                case Flood():
                    assert response is not None
                    for _ in range(step.pieces):
                        await response.write(step.piece)
                        received.sent_bytes += len(step.piece)
                case Raw():
                    assert request.transport is not None
                    request.transport.write(step.data)
                case Pause():
                    await asyncio.sleep(step.seconds)
                case Until():
                    await step.event.wait()
                case Hang():
                    await asyncio.Event().wait()
                case Drop():
                    if request.transport is not None:
                        await asyncio.sleep(0.01)  # what was written before still leaves
                        request.transport.abort()
                    return response or web.Response()
                case Unread():
                    pass
        if response is None:  # a raw answer: its end is the end of the connection
            if request.transport is not None:
                request.transport.close()
            return web.Response()
        await response.write_eof()
        return response


@asynccontextmanager
async def fake_provider() -> AsyncGenerator[FakeProvider]:
    """A running FakeProvider."""
    fake = FakeProvider()
    app = web.Application(client_max_size=1 << 30)
    app.router.add_route("*", "/{path:.*}", fake.serve)
    runner = web.AppRunner(
        app, handler_cancellation=True, shutdown_timeout=0.1, access_log=None, lingering_time=0
    )
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    fake.server = runner.server
    fake.port = runner.addresses[0][1]
    try:
        yield fake
    finally:
        await runner.cleanup()
