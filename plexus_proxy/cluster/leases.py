"""Who does a job that one process does for all.

The time is each process's own: hosts whose clocks differ by more than a lease lasts may both hold
it. What a lease guards must therefore be merely wasteful when it is done twice.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

from plexus_proxy import tasks
from plexus_proxy.db.database import Database, Unavailable

FIRST_S = 2.0
"""A process that is restarted often would otherwise never come to its first round."""
_RELEASE_S = 0.4


class Leases:
    """As `holder`, a process. `clock` says the time in epoch milliseconds."""

    def __init__(self, database: Database, holder: str, clock: Callable[[], int]) -> None:
        self._database = database
        self._holder = holder
        self._clock = clock
        self._held: set[str] = set()

    async def take(self, name: str, ttl_s: float) -> bool:
        """Take a lease that is free or has expired, or renew one's own, for `ttl_s` from now.

        False if another process holds it, or if the database does not answer.
        """
        now_ms = self._clock()
        expires_at_ms = now_ms + int(ttl_s * 1000)
        try:
            taken = await self._database.execute(
                "lease_take",
                name=name,
                holder=self._holder,
                expires_at_ms=expires_at_ms,
                now_ms=now_ms,
            )
        except Unavailable:
            return False
        if not taken:
            self._held.discard(name)
            return False
        self._held.add(name)
        return self._clock() < expires_at_ms  # the database may have let us wait for long

    async def release(self, name: str) -> None:
        """Let another process have it before it expires; without an answer it will expire."""
        if name not in self._held:
            return
        self._held.discard(name)
        try:
            await self._database.execute("lease_release", name=name, holder=self._holder)
        except Unavailable:
            return


@asynccontextmanager
async def every_once(
    leases: Leases,
    name: str,
    seconds: float,
    job: Callable[[], Awaitable[None]],
) -> AsyncGenerator[None]:
    """Like `tasks.every`, in one process of all that call it: the one that holds lease `name`. The
    first round comes soon after the start.

    When it stops another takes over at its next round; when it dies, after two rounds' time.
    """
    ttl_s = 2 * seconds

    async def renew() -> None:
        await leases.take(name, ttl_s)

    async def round_() -> None:
        if await leases.take(name, ttl_s):
            async with tasks.every(ttl_s / 4, renew, name=f"{name}: keep the lease"):
                await job()
            await renew()

    try:
        async with tasks.every(seconds, round_, name=name, first_s=min(FIRST_S, seconds)):
            yield
    finally:
        await tasks.at_most(_RELEASE_S, leases.release(name), name=f"{name}: release the lease")
