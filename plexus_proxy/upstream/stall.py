"""One sweep over all open streams in place of a timer for each.

A watched stream counts the bytes it has seen; a sweep that finds the count unchanged for too long
declares a stall, and on shorter silences lets the stream send its client a keep-alive. Precision is
the sweep's period, cost per chunk is one addition.
"""

from typing import Protocol

SWEEP_S = 0.25
KEEPALIVE_S = 10.0


class Watched(Protocol):
    """An open stream as the sweep sees it."""

    seen: int
    """Grows with every chunk from the upstream."""
    paused: bool
    """The client is behind: the upstream's silence is our doing."""
    idle_s: float

    def stall(self) -> None:
        """The upstream has been silent for `idle_s`."""
        ...

    def keep_alive(self) -> None: ...


class _Silence:
    """How long one stream has been silent."""

    __slots__ = ("keepalive_at", "seen", "since")

    def __init__(self, seen: int, now: float) -> None:
        self.seen = seen
        self.since = now
        self.keepalive_at = now + KEEPALIVE_S


class StallWatch:
    """The set of open streams."""

    def __init__(self) -> None:
        self._streams: dict[Watched, _Silence] = {}

    def __len__(self) -> int:
        return len(self._streams)

    def add(self, stream: Watched, now: float) -> None:
        self._streams[stream] = _Silence(stream.seen, now)

    def remove(self, stream: Watched) -> None:
        self._streams.pop(stream, None)

    def sweep(self, now: float) -> None:
        """Look at every stream once."""
        for stream, silence in list(self._streams.items()):
            if stream.paused or stream.seen != silence.seen:
                silence.seen = stream.seen
                silence.since = now
                silence.keepalive_at = now + KEEPALIVE_S
            elif now - silence.since >= stream.idle_s:
                stream.stall()
            elif now >= silence.keepalive_at:
                silence.keepalive_at = now + KEEPALIVE_S
                stream.keep_alive()
