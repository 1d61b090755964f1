"""Waiting for what other code brings about, without guessing how long it takes."""

import asyncio
from collections.abc import Callable


async def until(condition: Callable[[], object], timeout: float = 5) -> None:
    """Returns once `condition()` holds; raises TimeoutError if it does not come to hold."""
    async with asyncio.timeout(timeout):
        while not condition():  # noqa: ASYNC110 - the condition is anything, nobody sets an event
            await asyncio.sleep(0.005)
