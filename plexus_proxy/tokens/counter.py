"""TokenCounter: counts the tokens of texts in a helper process, so that the loop never waits.

The process starts on the first count, serves any number of callers, ends when nobody has asked for
a while, and is started anew if it dies; the callers that were waiting then ask the new one, once.
An answer may take `limit_s`; a process that has answered nobody for that long is killed.
"""

import asyncio
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager, suppress

import msgspec

from plexus_proxy import tasks
from plexus_proxy.errors import TooLarge
from plexus_proxy.tokens import frames
from plexus_proxy.tokens.frames import READY, Ask

COMMAND = (sys.executable, "-P", "-m", "plexus_proxy.tokens")
"""-P: what lies in the working directory must not be imported."""
MAX_CHARS = 8 * 1024 * 1024
"""Of all texts of one count: more than any model takes, and a second or two of work."""
LIMIT_S = 20.0
IDLE_S = 300.0
_SWEEP_S = 15.0
_END_S = 3.0


class CannotCount(Exception):
    """The helper process failed, or is too slow; the caller has to do without."""


class TokenCounter:
    """See the module. `clock` is for idleness only."""

    def __init__(
        self,
        *,
        command: Sequence[str] = COMMAND,
        limit_s: float = LIMIT_S,
        idle_s: float = IDLE_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._command = command
        self._limit_s = limit_s
        self._idle_s = idle_s
        self._clock = clock
        self._used_at = clock()
        self._counting = 0
        self._starting: asyncio.Task[_Helper] | None = None

    @property
    def pid(self) -> int | None:
        """Of the helper process; None while there is none."""
        helper = self._helper()
        return helper.pid if helper is not None else None

    async def count(self, texts: Sequence[str]) -> int:
        """Tokens in all texts together. Raises TooLarge, CannotCount."""
        chars = sum(map(len, texts))
        if chars > MAX_CHARS:
            raise TooLarge(f"Tokens of at most {MAX_CHARS} characters can be counted, got {chars}.")
        if not chars:
            return 0
        self._counting += 1
        began = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(self._limit_s):
                return await self._ask(list(texts))
        except TimeoutError as error:
            helper = self._helper()
            if helper is not None and helper.answered_at < began:
                helper.kill()
            raise CannotCount("the helper process is too slow") from error
        finally:
            self._counting -= 1
            self._used_at = self._clock()

    async def end_if_idle(self) -> None:
        if not self._counting and self._clock() - self._used_at >= self._idle_s:
            await self.close()

    async def close(self) -> None:
        """End the process, if there is one; the next count starts another."""
        starting, self._starting = self._starting, None
        if starting is not None:
            with suppress(OSError):
                await (await starting).end()

    async def _ask(self, texts: list[str]) -> int:
        try:
            return await (await self._running()).ask(texts)
        except CannotCount:
            return await (await self._running()).ask(texts)

    async def _running(self) -> "_Helper":
        """The process, started if need be; by a task of its own, so that a caller that leaves does
        not take along what others wait for."""
        starting = self._starting
        if starting is None or (starting.done() and self._helper() is None):
            starting = self._starting = tasks.spawn(_start(self._command), name="token counter")
        try:
            return await asyncio.shield(starting)
        except OSError as error:
            raise CannotCount("the helper process cannot be started") from error

    def _helper(self) -> "_Helper | None":
        starting = self._starting
        if starting is None or not starting.done() or starting.cancelled() or starting.exception():
            return None
        helper = starting.result()
        return None if helper.gone else helper


async def _start(command: Sequence[str]) -> "_Helper":
    """Raises OSError."""
    return _Helper(await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE))


class _Helper:
    """One helper process and the questions it has not answered yet."""

    def __init__(self, process: Process) -> None:
        self.gone = False
        """It answers no more; it may still be on its way out."""
        self._process = process
        self._waiting: dict[int, asyncio.Future[int]] = {}
        self._last_id = READY.id
        self.answered_at = float("-inf")
        """When it last answered anybody, by the loop's clock."""
        self._reader = tasks.spawn(self._read(), name="token counts")

    @property
    def pid(self) -> int:
        return self._process.pid

    async def ask(self, texts: list[str]) -> int:
        """Raises CannotCount when the process ends before it has answered."""
        stdin = self._process.stdin
        if self.gone or stdin is None:
            raise CannotCount("the helper process has ended")
        self._last_id += 1
        ask = Ask(self._last_id, texts)
        answer = asyncio.get_running_loop().create_future()
        self._waiting[ask.id] = answer
        try:
            stdin.write(frames.framed(ask))
            return await answer
        except (OSError, RuntimeError) as error:  # RuntimeError: uvloop's word for a closed pipe
            self.kill()
            raise CannotCount("the helper process takes no more") from error
        finally:
            self._waiting.pop(ask.id, None)

    def kill(self) -> None:
        self.gone = True
        with suppress(ProcessLookupError):
            self._process.kill()

    async def end(self) -> None:
        """Let the process end by itself, or else kill it. When this returns it is no more."""
        self.gone = True
        if self._process.stdin is not None:
            self._process.stdin.close()
        await asyncio.wait((self._reader,), timeout=_END_S)
        if not self._reader.done():
            self.kill()
            await asyncio.wait((self._reader,))

    async def _read(self) -> None:
        """Hand out answers until the process ends; then see it off."""
        stdout, stdin = self._process.stdout, self._process.stdin
        assert stdout is not None
        assert stdin is not None
        try:
            while True:
                length = frames.length_in(await stdout.readexactly(frames.LENGTH_BYTES))
                told = frames.decode_told(await stdout.readexactly(length))
                self.answered_at = asyncio.get_running_loop().time()
                if (answer := self._waiting.get(told.id)) is not None and not answer.done():
                    answer.set_result(told.tokens)
        except asyncio.IncompleteReadError:
            pass  # it has ended
        except (ValueError, msgspec.DecodeError):
            self.kill()  # it has lost its place
        finally:
            self.gone = True
            for answer in self._waiting.values():
                if not answer.done():
                    answer.set_exception(CannotCount("the helper process has ended"))
            stdin.close()
            await self._process.wait()


@asynccontextmanager
async def token_counter() -> AsyncGenerator[TokenCounter]:
    """A counter whose process is ended when idle, and at the end."""
    counter = TokenCounter()
    try:
        async with tasks.every(_SWEEP_S, counter.end_if_idle, name="idle token counter"):
            yield counter
    finally:
        await counter.close()
