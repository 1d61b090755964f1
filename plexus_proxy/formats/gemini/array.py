"""The other form of a Gemini stream: one JSON array, sent element by element. Source: Gemini API
reference, streamGenerateContent without `alt=sse`."""

from plexus_proxy.errors import PlexusError
from plexus_proxy.formats.conversation import Remembered
from plexus_proxy.formats.format import Observer, Relay
from plexus_proxy.formats.sse import Framer

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

    def elements(self, frames: bytes, *, is_end: bool) -> bytes:
        """Frames of the relay within; at the end also the array's."""
        if self._ended:
            return b""
        found = [*self._framer.feed(frames), *(self._framer.close() if is_end else ())]
        out: list[bytes] = []
        for frame in found:
            if frame.data:
                out += (b"[" if self._is_first else b",\r\n", frame.data)
                self._is_first = False
        if is_end:
            self._ended = True
            out.append(b"[]" if self._is_first else b"]")
        return b"".join(out)

    def feed(self, chunk: bytes) -> bytes:
        out = self._relay.feed(chunk)
        return self.elements(out, is_end=self._relay.fault is not None)

    def close(self) -> bytes:
        return self.elements(self._relay.close(), is_end=True)

    def fail(self, error: PlexusError) -> bytes:
        return self.elements(self._relay.fail(error), is_end=True)

    def remembered(self) -> Remembered | None:
        return self._relay.remembered()
