"""One sweep over all open streams in place of a timer for each.

A watched stream counts the bytes it has seen; a sweep that finds the count unchanged for too long,
or grown too little over a window, declares a stall, and on shorter silences lets the stream send
its client a keep-alive. Precision is the sweep's period, cost per chunk is one addition.
"""

from collections import deque
from typing import Protocol

from msgspec import Struct

from plexus_proxy.errors import Stalled

SWEEP_S = 0.25
KEEPALIVE_S = 10.0


class Pace(Struct, frozen=True, gc=False):
    """How fast a stream must be."""

    min_bytes_per_s: float
    window_s: float
    """Over which it is measured."""
    grace_s: float
    """From its first bytes on, before it is."""


class Watched(Protocol):
    """An open stream as the sweep sees it."""

    seen: int
    """Grows with every chunk from the upstream."""
    paused: bool
    """The client is behind: the upstream's silence is our doing."""
    idle_s: float
    pace: Pace | None

    def stall(self, fault: Stalled) -> None:
        """The upstream has been silent for `idle_s`, or slower than `pace`."""
        ...

    def keep_alive(self) -> None: ...


class _Silence:
    """How long one stream has been silent, and how much it has brought lately."""

    __slots__ = ("began", "keepalive_at", "samples", "seen", "since")

    def __init__(self, seen: int, now: float) -> None:
        self.seen = seen
        self.since = now
        self.keepalive_at = now + KEEPALIVE_S
        self.began = now
        self.samples: deque[tuple[float, int]] = deque()
        """(time, bytes seen), the first one a window ago."""

    def is_slow(self, pace: Pace, seen: int, now: float) -> bool:
        """Takes a sample, and judges by those of a whole window."""
        samples = self.samples
        samples.append((now, seen))
        while len(samples) > 1 and samples[1][0] <= now - pace.window_s:
            samples.popleft()
        then, had = samples[0]
        if now - self.began < pace.grace_s or now - then < pace.window_s:
            return False
        return seen - had < pace.min_bytes_per_s * (now - then)


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
            pace = stream.pace
            if pace is not None and stream.paused:
                silence.samples.clear()
            elif pace is not None and silence.is_slow(pace, stream.seen, now):
                stream.stall(Stalled.slow(pace.min_bytes_per_s, pace.window_s))
                continue
            if stream.paused or stream.seen != silence.seen:
                silence.seen = stream.seen
                silence.since = now
                silence.keepalive_at = now + KEEPALIVE_S
            elif now - silence.since >= stream.idle_s:
                stream.stall(Stalled(stream.idle_s))
            elif now >= silence.keepalive_at:
                silence.keepalive_at = now + KEEPALIVE_S
                stream.keep_alive()
