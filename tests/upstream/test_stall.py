"""The sweep that finds silent streams, on a clock of the test's own."""

import pytest

from plexus_proxy.errors import Stalled
from plexus_proxy.upstream.stall import KEEPALIVE_S, Pace, StallWatch


class Stream:
    def __init__(self, idle_s: float, pace: Pace | None = None) -> None:
        self.pace = pace
        self.seen = 0
        self.paused = False
        self.idle_s = idle_s
        self.told: list[str] = []

    def stall(self, fault: Stalled) -> None:
        self.told.append("slow" if fault.is_slow else "stall")

    def keep_alive(self) -> None:
        self.told.append("keep-alive")


@pytest.fixture
def watch() -> StallWatch:
    return StallWatch()


def test_silence_as_long_as_the_limit_is_a_stall(watch: StallWatch) -> None:
    stream = Stream(idle_s=5)
    watch.add(stream, 100)
    watch.sweep(104.9)
    assert stream.told == []
    watch.sweep(105)
    assert stream.told == ["stall"]


def test_every_chunk_starts_the_silence_anew(watch: StallWatch) -> None:
    stream = Stream(idle_s=5)
    watch.add(stream, 100)
    for now in (104, 108, 112):
        stream.seen += 1
        watch.sweep(now)
    assert stream.told == []


def test_a_stream_whose_client_is_behind_never_stalls(watch: StallWatch) -> None:
    stream = Stream(idle_s=5)
    watch.add(stream, 100)
    stream.paused = True
    watch.sweep(200)
    stream.paused = False
    watch.sweep(204)
    assert stream.told == []
    watch.sweep(205)
    assert stream.told == ["stall"]


def test_long_silence_below_the_limit_keeps_the_client_alive(watch: StallWatch) -> None:
    stream = Stream(idle_s=120)
    watch.add(stream, 0)
    for now in range(0, 36):
        watch.sweep(float(now))
    assert stream.told == ["keep-alive"] * int(35 // KEEPALIVE_S)


PACE = Pace(min_bytes_per_s=100, window_s=10, grace_s=30)


def flow(watch: StallWatch, stream: Stream, start: int, end: int, bytes_per_s: int) -> None:
    """A sweep each second."""
    for now in range(start, end):
        stream.seen += bytes_per_s
        watch.sweep(float(now))


def test_a_stream_that_is_slow_for_a_whole_window_is_a_stall(watch: StallWatch) -> None:
    stream = Stream(120, PACE)
    watch.add(stream, 0)
    flow(watch, stream, 0, 50, 200)
    assert stream.told == []
    flow(watch, stream, 50, 55, 10)
    assert stream.told == []  # not yet a window
    flow(watch, stream, 55, 60, 10)
    assert stream.told[0] == "slow"


def test_a_slow_beginning_is_forgiven(watch: StallWatch) -> None:
    stream = Stream(120, PACE)
    watch.add(stream, 0)
    flow(watch, stream, 0, 25, 10)
    flow(watch, stream, 25, 60, 300)
    assert stream.told == []


def test_a_client_that_is_behind_is_not_the_streams_pace(watch: StallWatch) -> None:
    stream = Stream(120, PACE)
    watch.add(stream, 0)
    flow(watch, stream, 0, 40, 200)
    stream.paused = True
    flow(watch, stream, 40, 70, 0)
    stream.paused = False
    flow(watch, stream, 70, 79, 10)  # less than a window since
    assert "slow" not in stream.told
    flow(watch, stream, 79, 82, 10)
    assert "slow" in stream.told


def test_a_removed_stream_is_left_alone(watch: StallWatch) -> None:
    stream = Stream(idle_s=1)
    watch.add(stream, 0)
    watch.remove(stream)
    watch.sweep(100)
    assert stream.told == []
    assert len(watch) == 0
