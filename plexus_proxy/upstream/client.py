"""Requests to providers, behind one small interface: send a request, get status and headers, then
have the body pushed, chunk by chunk, into a sink that can ask for a pause.

`http.HttpUpstream` serves it. Nothing that sends a request knows more than this file.
"""

from collections.abc import Callable, Mapping
from typing import Protocol

from msgspec import Struct

from plexus_proxy.upstream.clock import PhaseClock

Sink = Callable[[bytes], bool]
"""Takes a chunk at once; False asks for a pause: `pour` then returns and may be called again."""


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
    """By lower-case name; repeated ones are joined by a comma."""

    async def read(self, limit_bytes: int) -> bytes:
        """The whole body. Raises Garbled if it is cut or larger than the limit."""
        ...

    async def pour(self, sink: Sink) -> bool:
        """Push chunks until the body ends (True) or the sink asks for a pause (False).

        Raises Garbled if the body is cut, and whatever the sink raises.
        """
        ...

    def close(self) -> None:
        """End the connection if the answer was not read to its end; else it is in use already."""
        ...


class Upstream(Protocol):
    """Something that can send a request to a provider."""

    async def send(self, request: OutgoingRequest, clock: PhaseClock) -> Answer:
        """Raises UpstreamFault. Moves `clock` through connect, write and headers."""
        ...
