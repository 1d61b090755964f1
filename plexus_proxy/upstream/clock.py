"""The time limits of an attempt: one timer, moved when the attempt enters its next phase."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from plexus_proxy.config.timeouts import ResolvedTimeouts
from plexus_proxy.errors import Phase, TimedOut


class PhaseClock:
    """Which phase the attempt is in and when that must be over. Times are of the loop's clock."""

    __slots__ = ("_deadline", "_limits", "_scope", "phase")

    def __init__(self, limits: ResolvedTimeouts, now: float) -> None:
        self.phase: Phase = "connect"
        self._limits = limits
        self._deadline = now + limits.total_s
        self._scope: asyncio.Timeout | None = None

    @property
    def deadline(self) -> float:
        """When the whole attempt must be over."""
        return self._deadline

    def enter(self, phase: Phase) -> None:
        """The attempt has come to `phase`; its limit counts from now."""
        self.phase = phase
        if self._scope is not None:
            now = asyncio.get_running_loop().time()
            self._scope.reschedule(min(now + self.limit_s(phase), self._deadline))

    def limit_s(self, phase: Phase) -> float:
        limits = self._limits
        match phase:
            case "connect":
                return limits.connect_s
            case "write":
                return limits.write_s
            case "headers":
                return limits.headers_s
            case "first_content":
                return limits.first_content_s
            case "idle":
                return limits.idle_s
            case "total":
                return limits.total_s

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Raises TimedOut with the phase that took too long."""
        loop = asyncio.get_running_loop()
        scope = asyncio.timeout_at(min(loop.time() + self.limit_s(self.phase), self._deadline))
        self._scope = scope
        try:
            async with scope:
                yield
        except TimeoutError as error:
            if not scope.expired():
                raise
            phase = "total" if loop.time() >= self._deadline else self.phase
            raise TimedOut(phase, self.limit_s(phase)) from error
        finally:
            self._scope = None
