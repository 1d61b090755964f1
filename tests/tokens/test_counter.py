"""The helper process: started on need, shared, restarted, ended when idle, never left behind."""

import asyncio
import gc
import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
import uvloop

from plexus_proxy.errors import TooLarge
from plexus_proxy.tokens import __main__ as helper
from plexus_proxy.tokens import frames
from plexus_proxy.tokens.counter import COMMAND, MAX_CHARS, CannotCount, TokenCounter

HELLO = ["hello world"]
SILENT = (sys.executable, "-c", "import sys; sys.stdin.read()")
DEAF = (sys.executable, "-c", "import time; time.sleep(600)")
DYING = (sys.executable, "-c", "")
BABBLING = (sys.executable, "-c", "print('this is no frame', flush=True); input()")


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def counter(clock: Clock) -> AsyncIterator[TokenCounter]:
    found = TokenCounter(clock=clock, limit_s=60)
    yield found
    await found.close()


def is_alive(pid: int) -> bool:
    """A zombie counts: nobody has seen it off."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def is_gone(pid: int, timeout: float = 10) -> None:
    deadline = time.monotonic() + timeout
    while is_alive(pid):
        assert time.monotonic() < deadline, f"process {pid} is still there"
        await asyncio.sleep(0.02)


def pid_of(counter: TokenCounter) -> int:
    assert counter.pid is not None
    return counter.pid


async def started(counter: TokenCounter) -> int:
    """Its process, once there is one."""
    async with asyncio.timeout(10):
        while (pid := counter.pid) is None:  # noqa: ASYNC110 - the product sets no event
            await asyncio.sleep(0.01)
    return pid


async def test_the_process_starts_with_the_first_count(counter: TokenCounter) -> None:
    assert counter.pid is None
    assert await counter.count(HELLO) == 2
    assert is_alive(pid_of(counter))


async def test_no_text_needs_no_process(counter: TokenCounter) -> None:
    assert await counter.count([]) == 0
    assert await counter.count(["", ""]) == 0
    assert counter.pid is None


async def test_texts_are_counted_one_by_one_and_added_up(counter: TokenCounter) -> None:
    assert await counter.count(["hello", " world"]) == 2
    assert await counter.count(["a", "b", "c"]) == 3
    assert await counter.count(["<|endoftext|>"]) > 1


async def test_many_callers_share_one_process_and_get_their_own_answers(
    counter: TokenCounter,
) -> None:
    asked = range(1, 60)
    told = await asyncio.gather(*(counter.count([" hello" * size]) for size in asked))
    assert told == list(asked)
    first = pid_of(counter)
    await counter.count(HELLO)
    assert counter.pid == first


async def test_a_caller_that_leaves_takes_nobody_along(counter: TokenCounter) -> None:
    leaver = asyncio.create_task(counter.count(["hello " * 100_000]))
    others = [asyncio.create_task(counter.count(HELLO)) for _ in range(3)]
    await asyncio.sleep(0)
    leaver.cancel()
    assert await asyncio.gather(*others) == [2, 2, 2]
    with pytest.raises(asyncio.CancelledError):
        await leaver
    assert await counter.count(HELLO) == 2


async def test_it_ends_when_idle_and_comes_back(counter: TokenCounter, clock: Clock) -> None:
    await counter.count(HELLO)
    first = pid_of(counter)
    clock.now += 299
    await counter.end_if_idle()
    assert counter.pid == first
    clock.now += 1
    await counter.end_if_idle()
    assert counter.pid is None
    assert not is_alive(first)
    assert await counter.count(HELLO) == 2
    assert counter.pid != first


async def test_a_use_puts_off_the_end(counter: TokenCounter, clock: Clock) -> None:
    await counter.count(HELLO)
    clock.now += 299
    await counter.count(HELLO)
    clock.now += 299
    await counter.end_if_idle()
    assert counter.pid is not None


async def test_it_is_not_idle_while_it_counts(clock: Clock) -> None:
    counter = TokenCounter(command=SILENT, clock=clock, limit_s=60)
    waiting = asyncio.create_task(counter.count(HELLO))
    await started(counter)
    clock.now += 10_000
    await counter.end_if_idle()
    assert counter.pid is not None
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await counter.close()


async def test_a_process_that_died_is_replaced(counter: TokenCounter) -> None:
    await counter.count(HELLO)
    first = pid_of(counter)
    os.kill(first, signal.SIGKILL)
    assert await counter.count(HELLO) == 2  # whether or not its death was noticed before
    assert pid_of(counter) != first
    await is_gone(first)


async def test_who_waits_for_a_process_that_dies_is_answered_by_the_next(
    counter: TokenCounter,
) -> None:
    await counter.count(HELLO)
    first = pid_of(counter)
    os.kill(first, signal.SIGSTOP)
    waiting = [asyncio.create_task(counter.count(["a"] * size)) for size in (1, 2, 3)]
    await asyncio.sleep(0.05)
    os.kill(first, signal.SIGKILL)
    assert await asyncio.gather(*waiting) == [1, 2, 3]
    await is_gone(first)


@pytest.mark.parametrize(
    ("command", "said"),
    [
        pytest.param(DYING, "has ended", id="dies at once"),
        pytest.param(BABBLING, "has ended", id="talks nonsense"),
        pytest.param(("/nonexistent/python",), "cannot be started", id="is not there"),
    ],
)
async def test_a_helper_that_never_works_is_given_up(
    command: Sequence[str], said: str, caplog: pytest.LogCaptureFixture
) -> None:
    counter = TokenCounter(command=command, limit_s=30)
    with pytest.raises(CannotCount, match=said):
        await counter.count(HELLO)
    await counter.close()
    assert counter.pid is None


async def test_a_helper_that_never_answers_is_killed() -> None:
    counter = TokenCounter(command=DEAF, limit_s=0.3)
    waiting = asyncio.create_task(counter.count(HELLO))
    stuck = await started(counter)
    with pytest.raises(CannotCount, match="too slow"):
        await waiting
    await is_gone(stuck)
    assert counter.pid is None


async def test_a_helper_that_does_not_end_by_itself_is_killed_at_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("plexus_proxy.tokens.counter._END_S", 0.2)
    counter = TokenCounter(command=DEAF, limit_s=60)
    waiting = asyncio.create_task(counter.count(HELLO))
    stuck = await started(counter)
    waiting.cancel()
    await asyncio.wait([waiting])
    await counter.close()
    assert not is_alive(stuck)


async def test_too_much_text_is_refused_before_anything_is_started(counter: TokenCounter) -> None:
    half = "x" * (MAX_CHARS // 2)
    with pytest.raises(TooLarge, match=f"at most {MAX_CHARS} characters .* got {MAX_CHARS + 1}"):
        await counter.count([half, half, "x"])
    assert counter.pid is None


async def test_the_largest_text_is_counted_while_the_loop_goes_on(counter: TokenCounter) -> None:
    await counter.count(HELLO)
    counting = asyncio.create_task(counter.count(["x" * MAX_CHARS]))
    rounds = 0
    while not counting.done():
        await asyncio.sleep(0.005)
        rounds += 1
    assert await counting == MAX_CHARS // 8  # "xxxxxxxx" is one token
    assert rounds > 5


_PROGRAM = """
import asyncio, sys
from plexus_proxy.tokens.counter import TokenCounter

async def main():
    counter = TokenCounter()
    await counter.count(["hello"])
    print(counter.pid, flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""


@pytest.mark.parametrize("deadly", [signal.SIGKILL, signal.SIGTERM], ids=["SIGKILL", "SIGTERM"])
async def test_it_dies_with_its_parent(deadly: signal.Signals) -> None:
    pipe = asyncio.subprocess.PIPE
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", _PROGRAM, stdout=pipe)
    assert parent.stdout is not None
    child = int(await parent.stdout.readline())
    assert is_alive(child)
    parent.send_signal(deadly)
    await parent.communicate()
    await is_gone(child)


async def test_signals_to_the_whole_group_leave_it_to_its_parent(counter: TokenCounter) -> None:
    await counter.count(HELLO)
    pid = pid_of(counter)
    os.kill(pid, signal.SIGINT)
    os.kill(pid, signal.SIGTERM)
    assert await counter.count(HELLO) == 2
    assert counter.pid == pid


async def _whole_life() -> int:
    counter = TokenCounter(limit_s=60)
    assert await counter.count(HELLO) == 2
    pid = pid_of(counter)
    await counter.close()
    return pid


async def _many_deaths() -> None:
    counter = TokenCounter(limit_s=60)
    for pause in (0, 0.0005, 0.002, 0.01):  # before, while and after the death is noticed
        assert await counter.count(HELLO) == 2
        os.kill(pid_of(counter), signal.SIGKILL)
        await asyncio.sleep(pause)
        told = await asyncio.gather(*(counter.count(["a"] * size) for size in range(1, 9)))
        assert told == list(range(1, 9))
    await counter.close()


LOOPS = pytest.mark.parametrize(
    "factory", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"]
)


@LOOPS
def test_a_death_at_any_moment_costs_no_answer(factory: object) -> None:
    with asyncio.Runner(loop_factory=factory) as runner:  # type: ignore[arg-type]
        runner.run(_many_deaths())
    gc.collect()


async def test_a_pipe_that_takes_no_more_is_a_death_too(
    counter: TokenCounter, monkeypatch: pytest.MonkeyPatch
) -> None:
    await counter.count(HELLO)
    first = pid_of(counter)
    running = counter._helper()
    assert running is not None

    def refuse(_: bytes) -> None:
        raise RuntimeError("unable to perform operation on <UnixWritePipeTransport>")

    with monkeypatch.context() as patch:
        patch.setattr(running._process.stdin, "write", refuse)
        assert await counter.count(HELLO) == 2
    assert counter.pid != first
    await is_gone(first)


@LOOPS
def test_nothing_is_left_behind_and_nothing_warns(factory: object) -> None:
    with asyncio.Runner(loop_factory=factory) as runner:  # type: ignore[arg-type]
        pid = runner.run(_whole_life())
    gc.collect()  # an unclosed transport would warn here
    assert not is_alive(pid)


def test_the_working_directory_is_not_imported_from(tmp_path: Path) -> None:
    (tmp_path / "msgspec.py").write_text("raise SystemExit('imported from the working directory')")
    ask = frames.framed(frames.Ask(7, ["hello"]))
    run = subprocess.run(COMMAND, cwd=tmp_path, input=ask, capture_output=True, timeout=60)
    assert (run.returncode, run.stderr) == (0, b"")
    assert run.stdout == frames.framed(frames.READY) + frames.framed(frames.Told(7, 1))


def fake_encode(text: str) -> list[int]:
    return [0] * len(text)


def test_the_helper_answers_every_frame_and_stops_at_a_cut_one() -> None:
    asks = [frames.framed(frames.Ask(id, ["ab"] * id)) for id in (1, 2)]
    sink = io.BytesIO()
    helper.serve(io.BytesIO(b"".join(asks) + asks[0][:-1]), sink, fake_encode)
    told = [frames.framed(frames.Told(id, 2 * id)) for id in (1, 2)]
    assert sink.getvalue() == b"".join(told)


def test_long_texts_are_encoded_in_pieces() -> None:
    pieces: list[str] = []

    def encode(text: str) -> list[int]:
        pieces.append(text)
        return [0]

    text = "ab" * helper.PIECE_CHARS + "c"
    assert helper.count([text, "", "d"], encode) == 4
    assert "".join(pieces) == text + "d"
    assert max(map(len, pieces)) == helper.PIECE_CHARS


def test_an_incredible_length_is_refused() -> None:
    with pytest.raises(ValueError, match="a frame of"):
        frames.length_in(b"\xff\xff\xff\xff")
