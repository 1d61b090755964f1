"""Background work: failures are logged, loops go on, everything ends with its context."""

import asyncio
import logging

import pytest

from plexus_proxy import tasks


async def test_a_failed_task_is_logged_with_its_name(caplog: pytest.LogCaptureFixture) -> None:
    async def fail() -> None:
        raise RuntimeError("broken pipe dream")

    with caplog.at_level(logging.ERROR):
        task = tasks.spawn(fail(), name="the task")
        await asyncio.wait([task])
        await asyncio.sleep(0)
    assert "the task" in caplog.text
    assert "broken pipe dream" in caplog.text


async def test_a_failing_round_does_not_end_the_rounds(caplog: pytest.LogCaptureFixture) -> None:
    rounds = 0
    third = asyncio.Event()

    async def job() -> None:
        nonlocal rounds
        rounds += 1
        if rounds == 3:
            third.set()
        raise RuntimeError("again")

    async with tasks.every(0.001, job, name="rounds"):
        await asyncio.wait_for(third.wait(), 5)
    seen = rounds
    await asyncio.sleep(0.02)
    assert rounds == seen
    assert "again" in caplog.text


async def test_work_that_takes_too_long_is_cancelled_and_not_waited_for() -> None:
    seen: list[str] = []

    async def stubborn() -> None:
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            await asyncio.sleep(0.2)
            seen.append("given up")

    loop = asyncio.get_running_loop()
    started = loop.time()
    await tasks.at_most(0.05, stubborn(), name="stubborn")
    assert loop.time() - started < 0.15
    assert seen == []
    await asyncio.sleep(0.25)
    assert seen == ["given up"]


async def test_work_that_ends_in_time_is_waited_for() -> None:
    seen: list[str] = []

    async def work() -> None:
        await asyncio.sleep(0.01)
        seen.append("done")

    await tasks.at_most(5, work(), name="work")
    assert seen == ["done"]


async def test_a_cancellation_while_background_work_ends_is_not_lost() -> None:
    ending = asyncio.Event()

    async def slow_to_end() -> None:
        try:
            await asyncio.sleep(10)
        finally:
            ending.set()
            await asyncio.sleep(0.05)

    async def outer() -> str:
        async with tasks.running(slow_to_end(), name="slow to end"):
            await asyncio.sleep(0)
        return "went on"

    task = tasks.spawn(outer(), name="outer")
    await ending.wait()
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
