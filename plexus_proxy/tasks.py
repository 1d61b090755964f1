"""The only callers of asyncio.create_task: a task keeps a reference and logs how it failed."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

_log = logging.getLogger(__name__)
_running: set[asyncio.Task[Any]] = set()  # the loop keeps only weak references to tasks


def spawn(work: Coroutine[Any, Any, Any], *, name: str) -> asyncio.Task[Any]:
    """Run `work` in the background; a failure is logged with its traceback."""
    task = asyncio.create_task(work, name=name)  # noqa: TID251 - this is the one place
    _running.add(task)
    task.add_done_callback(_finished)
    return task


def _finished(task: asyncio.Task[Any]) -> None:
    _running.discard(task)
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.error("background task %s failed", task.get_name(), exc_info=error)


@asynccontextmanager
async def running(work: Coroutine[Any, Any, Any], *, name: str) -> AsyncGenerator[None]:
    """Run `work` for as long as the context lasts; cancelled and awaited on the way out."""
    task = spawn(work, name=name)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])  # which, unlike `await task`, tells our own cancellation apart
        if not task.cancelled():
            task.result()


@asynccontextmanager
async def every(
    seconds: float, job: Callable[[], Awaitable[None]], *, name: str, first_s: float | None = None
) -> AsyncGenerator[None]:
    """Call `job` every `seconds` while the context lasts, for the first time after `first_s` if
    that is given; a failing round is logged."""

    async def rounds() -> None:
        wait_s = seconds if first_s is None else first_s
        while True:
            await asyncio.sleep(wait_s)
            wait_s = seconds
            try:
                await job()
            except Exception:
                _log.exception("periodic task %s failed", name)

    async with running(rounds(), name=name):
        yield


async def at_most(seconds: float, work: Coroutine[Any, Any, Any], *, name: str) -> None:
    """Wait for `work`, but not longer than `seconds`; then it is cancelled, and not waited for.

    A time-out around `work` would also wait for what `work` does when it is cancelled.
    """
    task = spawn(work, name=name)
    try:
        await asyncio.wait([task], timeout=seconds)
    finally:
        task.cancel()
