"""A primed answer on its way to the client: push, pause when the client is behind, end honestly.

The head of the response and what the relay gave until the commit point go out in one write; then
each chunk from the upstream is relayed and written at once, framed straight onto the transport. No
task, timer or log line per chunk. Silence is watched by the StallWatch sweep.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web
from aiohttp.http import HttpVersion11

from plexus_proxy.errors import PlexusError, Stalled, TimedOut
from plexus_proxy.formats.conversation import Remembered
from plexus_proxy.formats.format import Relay
from plexus_proxy.upstream.client import Answer
from plexus_proxy.upstream.stall import Pace, StallWatch

Keep = Callable[[Remembered], Awaitable[None]]
HIGH_WATER_BYTES = 64 * 1024
"""What may wait in a client's socket buffer before the upstream is paused."""


class ClientStream:
    """The client's side of one streamed response.

    Raises ConnectionResetError once the client has gone.
    """

    __slots__ = ("_chunked", "_request", "_response", "_transport")

    def __init__(self, request: web.Request, headers: Mapping[str, str]) -> None:
        self._request = request
        self._response = web.StreamResponse(headers=headers)
        self._transport = request.transport
        self._chunked = request.version >= HttpVersion11  # older clients read to the end
        if self._chunked:
            self._response.enable_chunked_encoding()

    async def start(self, head: bytes) -> None:
        """Send status, headers and the first bytes in one write; later, just more bytes."""
        if self._response.prepared:
            self.write(head)
            return
        await self._response.prepare(self._request)
        await self._response.write(head)

    @property
    def gone(self) -> bool:
        transport = self._transport
        return transport is None or transport.is_closing()

    def write(self, data: bytes) -> None:
        transport = self._transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError("client is gone")
        if not data:
            return  # an empty chunk would be the last
        transport.write(b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data)

    @property
    def behind(self) -> bool:
        """More is waiting to be sent than should."""
        transport = self._transport
        return transport is not None and transport.get_write_buffer_size() > HIGH_WATER_BYTES

    async def drain(self) -> None:
        """Wait until the client has caught up."""
        await self._request.writer.drain()

    async def finish(self) -> web.StreamResponse:
        await self._response.write_eof()
        return self._response


async def finish(relay: Relay, client: ClientStream, keep: Keep) -> None:
    """Send the tail of a stream, once what is to be remembered of it has been kept."""
    if relay.waiting and (found := relay.remembered()) is not None:
        await keep(found)
    if tail := relay.tail():
        client.write(tail)


class Pump:
    """One stream: the sink of its upstream, watched for stalls."""

    __slots__ = (
        "_client",
        "_keep",
        "_keepalive",
        "_relay",
        "_scope",
        "_scrub",
        "_stalled",
        "idle_s",
        "pace",
        "paused",
        "seen",
    )

    def __init__(
        self,
        relay: Relay,
        client: ClientStream,
        keepalive: bytes,
        idle_s: float,
        scrub: Callable[[bytes], bytes],
        keep: Keep,
        pace: Pace | None = None,
    ) -> None:
        """`scrub` takes secrets out of what the provider says when it fails."""
        self._relay = relay
        self._client = client
        self._keep = keep
        self._keepalive = keepalive
        self._scope: asyncio.Timeout | None = None
        self._scrub = scrub
        self._stalled: Stalled | None = None
        self.idle_s = idle_s
        self.pace = pace
        self.seen = 0
        self.paused = False

    def __call__(self, chunk: bytes) -> bool:
        """Relay one chunk; False when the client is behind or the relay has come to an end."""
        self.seen += len(chunk)
        relay = self._relay
        if out := relay.feed(chunk):
            self._client.write(out if relay.fault is None else self._scrub(out))
        if relay.fault is not None or relay.waiting or relay.cut:
            return False
        return not self._client.behind

    def _is_over(self) -> bool:
        return self._relay.fault is not None or self._relay.cut

    def stall(self, fault: Stalled) -> None:
        self._stalled = fault
        if self._scope is not None:
            self._scope.reschedule(asyncio.get_running_loop().time())

    def keep_alive(self) -> None:
        if not self._client.behind and not self._client.gone:
            self._client.write(self._keepalive)

    async def run(self, answer: Answer, watch: StallWatch, deadline: float) -> None:
        """Pour the answer to its end. Faults end up in `relay.fault`, told to the client in-band.

        Raises ConnectionResetError or CancelledError when the client goes. `deadline` is of the
        loop's clock.
        """
        loop = asyncio.get_running_loop()
        began = loop.time()
        watch.add(self, began)
        last = b""
        try:
            async with asyncio.timeout_at(deadline) as self._scope:
                while not await answer.pour(self) and not self._is_over():
                    if self._relay.waiting:
                        await finish(self._relay, self._client, self._keep)
                    self.paused = True
                    await self._client.drain()
                    self.paused = False
                last = self._relay.close()
        except TimeoutError:
            fault = self._stalled or TimedOut("total", deadline - began)
            last = self._relay.fail(fault)
        except PlexusError as fault:
            last = self._relay.fail(fault)
        finally:
            watch.remove(self)
        if last:
            self._client.write(self._scrub(last))
        await finish(self._relay, self._client, self._keep)
