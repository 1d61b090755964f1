"""The other form of a Gemini stream: one JSON array, sent element by element. Source: Gemini API
reference, streamGenerateContent without `alt=sse`."""

from collections.abc import Sequence

from plexus_proxy.errors import PlexusError
from plexus_proxy.formats.conversation import Remembered
from plexus_proxy.formats.format import Observer, Relay
from plexus_proxy.formats.sse import Frame, Framer

KEEPALIVE = b"\n"
"""White space between elements."""


class ArrayRelay:
    """A relay whose frames become elements of an array. See Relay."""

    __slots__ = ("_ended", "_framer", "_is_first", "_relay", "observer")

    def __init__(self, relay: Relay) -> None:
        self._relay = relay
        self._framer = Framer()
        self._is_first = True
        self._ended = False
        self.observer: Observer = relay.observer

    @property
    def fault(self) -> PlexusError | None:
        return self._relay.fault

    @fault.setter
    def fault(self, fault: PlexusError | None) -> None:
        self._relay.fault = fault

    @property
    def committed(self) -> bool:
        return self._relay.committed

    @property
    def cut(self) -> bool:
        return self._relay.cut

    @property
    def waiting(self) -> bool:
        return self._relay.waiting

    def elements(self, frames: bytes) -> bytes:
        """Frames of the relay within."""
        return self._joined(self._framer.feed(frames))

    def _joined(self, frames: Sequence[Frame]) -> bytes:
        out: list[bytes] = []
        for frame in frames:
            if frame.data:
                out += (b"[" if self._is_first else b",\r\n", frame.data)
                self._is_first = False
        return b"".join(out)

    def feed(self, chunk: bytes) -> bytes:
        return self.elements(self._relay.feed(chunk))

    def close(self) -> bytes:
        return self.elements(self._relay.close())

    def fail(self, error: PlexusError) -> bytes:
        return self.elements(self._relay.fail(error))

    def tail(self) -> bytes:
        """Also the array's own end."""
        if self._ended:
            return b""
        self._ended = True
        last = [*self._framer.feed(self._relay.tail()), *self._framer.close()]
        elements = self._joined(last)
        return elements + (b"[]" if self._is_first else b"]")

    def remembered(self) -> Remembered | None:
        return self._relay.remembered()
