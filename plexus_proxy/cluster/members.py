"""Which processes share the database: workers of this host and of others.

Each renews a row of its own every few seconds, and looks at those of the others on that occasion.
The clocks of all hosts must agree within some seconds.
"""

from collections.abc import Callable, Sequence

from msgspec import Struct, convert

from plexus_proxy.cluster.backoff import Backoff
from plexus_proxy.db.database import Database, Unavailable

BEAT_S = 2.0
TTL_MS = 10_000
_DEAD_MS = 60_000
"""Rows of processes that have been dead for longer are deleted."""
_GAP_MS = 2 * 1000 * BEAT_S
"""Between two looks: the database was away, and for all others too."""


class Member(Struct, frozen=True):
    """A process as its row tells it."""

    id: str
    host: str
    pid: int
    started_at_ms: int
    expires_at_ms: int
    """Dead after that, unless the row is renewed."""
    config_digest: str
    """Equal for processes that run on the same config text."""


class Members:
    """This process among the others. `clock` says the time in epoch milliseconds."""

    def __init__(
        self, database: Database, clock: Callable[[], int], *, id: str, host: str, pid: int
    ) -> None:
        self._database = database
        self._clock = clock
        self._host = host
        self._pid = pid
        self._started_at_ms = clock()
        self._config_digest = ""
        self._backoff = Backoff("other processes are not told that this one lives")
        self._seen: Sequence[Member] = ()
        self._looked_at_ms: int | None = None
        self._gap_began_ms = 0
        self._gap_ended_ms = -TTL_MS
        """For a while after that whoever lived when it began may still come back."""
        self.id = id

    @property
    def count(self) -> int:
        """Live processes at the last look that the database answered, this one included."""
        return max(len(self._seen), 1)

    def all(self) -> list[Member]:
        """The live processes of that look, oldest first; empty before the first one."""
        return list(self._seen)

    def configs(self) -> int:
        """How many different configs they run on."""
        return len({member.config_digest for member in self._seen}) or 1

    def note_config(self, digest: str) -> None:
        """This process runs on the config of `digest` from now on; told with the next beat."""
        self._config_digest = digest

    async def beat(self) -> None:
        """Say that this process lives, and look who else does. Never raises Unavailable."""
        now_ms = self._clock()
        try:
            await self._database.execute(
                "member_renew",
                id=self.id,
                host=self._host,
                pid=self._pid,
                started_at_ms=self._started_at_ms,
                expires_at_ms=now_ms + TTL_MS,
                config_digest=self._config_digest,
            )
            await self._look(now_ms)
        except Unavailable as error:
            self._backoff.failed(error)
        else:
            self._backoff.succeeded()

    async def _look(self, now_ms: int) -> None:
        rows = await self._database.fetch_all("members_all")
        members = [convert(row, Member, strict=False) for row in rows]
        living_ms = self._living_ms(now_ms)
        self._seen = [each for each in members if each.expires_at_ms > living_ms]
        before_ms = living_ms - _DEAD_MS
        if any(each.expires_at_ms < before_ms for each in members):
            await self._database.execute("members_delete_dead", before_ms=before_ms)

    def _living_ms(self, now_ms: int) -> int:
        """Whose row is valid then lives. Who comes back first from an outage must not take itself
        to be alone, and all places to be its own."""
        before_ms, self._looked_at_ms = self._looked_at_ms, now_ms
        if before_ms is not None and now_ms - before_ms > _GAP_MS:
            self._gap_began_ms, self._gap_ended_ms = before_ms, now_ms
        is_patient = 0 <= now_ms - self._gap_ended_ms < TTL_MS
        return self._gap_began_ms if is_patient else now_ms

    async def leave(self) -> None:
        """Say that this process stops. Raises Unavailable; then its row will expire."""
        await self._database.execute("member_remove", id=self.id)
