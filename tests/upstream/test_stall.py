"""The sweep that finds silent streams, on a clock of the test's own."""

import pytest

from plexus_proxy.upstream.stall import KEEPALIVE_S, StallWatch


class Stream:
    def __init__(self, idle_s: float) -> None:
        self.seen = 0
        self.paused = False
        self.idle_s = idle_s
        self.told: list[str] = []

    def stall(self) -> None:
        self.told.append("stall")

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


def test_a_removed_stream_is_left_alone(watch: StallWatch) -> None:
    stream = Stream(idle_s=1)
    watch.add(stream, 0)
    watch.remove(stream)
    watch.sweep(100)
    assert stream.told == []
    assert len(watch) == 0
