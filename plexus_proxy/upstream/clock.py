"""The time limits of an attempt: one timer, which is moved only when it would ring too late."""

import asyncio
import math
from collections.abc import Callable
from operator import attrgetter
from types import TracebackType

from plexus_proxy.config.timeouts import ResolvedTimeouts
from plexus_proxy.errors import PHASES, Phase, Stalled, TimedOut

_LIMIT: dict[Phase, Callable[[ResolvedTimeouts], float]] = {
    phase: attrgetter(f"{phase}_s") for phase in PHASES
}


class PhaseClock:
    """Which phase the attempt is in and when that must be over. Times are of the loop's clock.

    Entered as a context, it ends what takes too long: TimedOut with the phase. Most phases are over
    long before the first limit: entering one costs no timer, the one that runs asks when it rings.
    """

    __slots__ = (
        "_deadline",
        "_first_by",
        "_latest",
        "_limits",
        "_loop",
        "_phase_by",
        "_rings",
        "_scope",
        "_started",
        "_timer",
        "phase",
    )

    def __init__(
        self,
        limits: ResolvedTimeouts,
        now: float,
        *,
        latest: float = math.inf,
        first_bytes_s: float | None = None,
    ) -> None:
        """`latest`: when the attempt must have brought its first content, whatever its own limits
        say. `first_bytes_s`: when a stream must have begun."""
        self.phase: Phase = "connect"
        self._limits = limits
        self._started = now
        self._deadline = now + limits.total_s
        self._latest = min(latest, self._deadline)
        self._first_by = math.inf if first_bytes_s is None else now + first_bytes_s
        self._phase_by = self._deadline
        self._loop: asyncio.AbstractEventLoop | None = None
        self._scope: asyncio.Timeout | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._rings = 0.0

    @property
    def deadline(self) -> float:
        """When the whole attempt must be over."""
        return self._deadline

    def enter(self, phase: Phase) -> None:
        """The attempt has come to `phase`; its limit counts from now."""
        self.phase = phase
        if self._loop is not None:
            self._phase_by = self._loop.time() + _LIMIT[phase](self._limits)
            if self._phase_by < self._rings:
                self._set_timer(self._loop)

    def begun(self) -> None:
        """The stream's first bytes have come."""
        self._first_by = math.inf

    def limit_s(self, phase: Phase) -> float:
        return _LIMIT[phase](self._limits)

    async def __aenter__(self) -> None:
        loop = self._loop = asyncio.get_running_loop()
        self._phase_by = loop.time() + self.limit_s(self.phase)
        self._scope = asyncio.timeout(None)
        await self._scope.__aenter__()
        self._set_timer(loop)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        scope, loop = self._scope, self._loop
        assert scope is not None
        assert loop is not None
        self._scope = self._loop = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        try:
            await scope.__aexit__(kind, error, trace)
        except TimeoutError as expired:
            raise self._expired(loop.time()) from expired

    def _expired(self, now: float) -> TimedOut:
        if now >= self._first_by:
            return Stalled.late(self._first_by - self._started)
        if now >= self._latest:
            hurried = self._latest < self._deadline
            return TimedOut("total", round(self._latest - self._started, 1), hurried=hurried)
        return TimedOut(self.phase, self.limit_s(self.phase))

    def _expires(self) -> float:
        return min(self._phase_by, self._latest, self._first_by)

    def _set_timer(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._rings = self._expires()
        self._timer = loop.call_at(self._rings, self._ring, loop)

    def _ring(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        if self._scope is None:
            return
        if loop.time() < self._expires():
            self._set_timer(loop)
        else:
            self._scope.reschedule(loop.time())
