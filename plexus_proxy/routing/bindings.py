"""Who served a conversation last, known to all processes and after a restart.

Each process remembers the latest ten thousand conversations; what it learns is written behind, once
a second, to a table that it reads only for a conversation that it does not know. A table that is
away costs nothing but the preference. Keys are hashes: neither memory nor table holds what a client
said.

Only a target that took over for another that failed is noted in its place. One that took what the
other had no room for is not: the prompt cache is still where it was.
"""

import asyncio
import base64
import hashlib
import logging
import time
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from enum import Enum
from functools import partial
from typing import TypeVar

from aiohttp import web
from msgspec import Struct

from plexus_proxy import tasks
from plexus_proxy.cluster.cluster import CLUSTER
from plexus_proxy.cluster.leases import every_once
from plexus_proxy.config.model import TargetKey
from plexus_proxy.db.database import DATABASE, Conflict, Rejected, Unavailable
from plexus_proxy.log import reason
from plexus_proxy.routing.binding_store import BindingStore, Bound
from plexus_proxy.routing.sticky import Session

_log = logging.getLogger(__name__)

PREFER_MS = 3600 * 1000
"""A session idle for longer has no prompt cache left: no provider keeps one longer by itself."""
STATE_MS = 24 * 3600 * 1000
"""So long a request that carries state still finds the target that can read it."""
ABSENT_MS = 5_000
"""So long it is remembered that nothing is known of a session."""
REFRESH_MS = 300_000
"""A stored time may be so old before it is written anew."""
LOOK_S = 0.05
"""How long a request waits for the table."""
AWAY_MS = 1_000
"""How long the table is left alone when it did not answer."""
COMMIT_S = 1.0
CLEAN_S = 300.0
MAX_SESSIONS = 10_000
TOPIC = "bindings"

V = TypeVar("V")

_EVERYTHING = "*"
_IDS_IN_MESSAGE = 100


class Unknown(Enum):
    """What this process alone cannot say: `Bindings.find` can."""

    UNKNOWN = "unknown"


class _Known(Struct, gc=False):
    """What this process knows of a session; no target: that nothing is stored."""

    target: TargetKey | None
    used_at_ms: int
    stored_at_ms: int = 0


class _Write(Struct, frozen=True, gc=False):
    bound: Bound
    moved: bool
    """Another target served before, or it was looked for and not found: other processes may
    remember another one, or be about to note it."""


def keys_of(owner: str, alias: str, session: Session) -> tuple[str, ...]:
    """The keys to look under, in this order; the first is the one to note `served` under.

    `owner`: client key and attribution; `alias`: its canonical name, since another model's cache
    is of no use.
    """
    return tuple(key_of(owner, alias, name) for name in session.names)


def key_of(*parts: str) -> str:
    digest = hashlib.sha256()
    for part in parts:
        code = part.encode("utf-8", "surrogatepass")
        digest.update(b"%d:" % len(code))
        digest.update(code)
    return base64.urlsafe_b64encode(digest.digest()).decode().rstrip("=")


def now_ms() -> int:
    return time.time_ns() // 1_000_000


class Bindings:
    """The memory of this process, the rows of all, and what is on its way there."""

    def __init__(
        self,
        store: BindingStore,
        *,
        announce: Callable[[str], None] = lambda _ids: None,
        clock: Callable[[], int] = now_ms,
        max_sessions: int = MAX_SESSIONS,
        look_s: float = LOOK_S,
    ) -> None:
        """`announce` tells other processes' `heard`; `clock` gives epoch milliseconds."""
        self._store = store
        self._announce = announce
        self._clock = clock
        self._max_sessions = max_sessions
        self._look_s = look_s
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._pending: OrderedDict[str, _Write] = OrderedDict()
        self._contested: set[str] = set()
        """Of those: another process has written one of its own meanwhile."""
        self._writing = asyncio.Lock()
        self._away_until_ms = 0
        self._is_failing = False

    def bound_now(self, *keys: str, carries_state: bool = False) -> TargetKey | Unknown | None:
        """Of the first key that is bound its target; Unknown if the table has to be asked first.

        A request that carries state follows its binding for longer.
        """
        for key in keys:
            found = self._remembered(key, carries_state=carries_state)
            if found is not None:
                return found
        return None

    async def find(self, *keys: str, carries_state: bool = False) -> TargetKey | None:
        """The same, the table asked if need be; at most two keys. Never fails, and waits for no
        longer than LOOK_S."""
        now = self._clock()
        asked = [
            key
            for key in keys
            if self._remembered(key, carries_state=carries_state) is Unknown.UNKNOWN
        ]
        if asked and now >= self._away_until_ms:
            try:
                async with asyncio.timeout(self._look_s):
                    stored = await self._store.fetch(asked, now - STATE_MS)
            except (TimeoutError, Unavailable):
                self._away_until_ms = now + AWAY_MS
            else:
                for key in asked:
                    self._note_stored(key, stored.get(key), now)
        for key in keys:
            found = self._remembered(key, carries_state=carries_state)
            if found is not None and not isinstance(found, Unknown):
                return found
        return None

    def served(self, key: str, target: TargetKey, *, spilled: bool = False) -> None:
        """A target has served the session. `spilled`: only because the bound one was full, so the
        session stays bound to that."""
        if spilled:
            return
        now = self._clock()
        known = self._known.get(key)
        was_known = known is not None
        before = known.target if known is not None else None
        if known is None or before != target:
            known = self._known[key] = _Known(target, now)
        known.used_at_ms = now
        self._known.move_to_end(key)
        _trim(self._known, self._max_sessions)
        if now - known.stored_at_ms < REFRESH_MS or any("\0" in name for name in target):
            return  # PostgreSQL cannot hold a NUL
        known.stored_at_ms = now
        waiting = self._pending.get(key)
        moved = (was_known and before != target) or (waiting is not None and waiting.moved)
        self._pending[key] = _Write(Bound(target, now), moved)

    async def commit(self) -> None:
        """When this returns, all that was noted before is in the table, unless that is away."""
        async with self._writing:
            writes = dict(self._pending)
            if not writes:
                return
            try:
                await self._store.put({key: write.bound for key, write in writes.items()})
            except (Unavailable, Conflict) as error:
                _trim(self._pending, self._max_sessions)
                if not self._is_failing:
                    _log.warning("bindings are in memory only: %s", reason(error))
                self._is_failing = True
                return
            except Rejected as error:
                _log.warning("bindings cannot be stored: %s", error)
            self._is_failing = False
            for key, write in writes.items():
                if self._pending.get(key) is write:
                    del self._pending[key]
                    if key in self._contested:  # the later one counts
                        self._known.pop(key, None)
            self._contested &= self._pending.keys()
            moved = [key for key, write in writes.items() if write.moved]
            for start in range(0, len(moved), _IDS_IN_MESSAGE):
                self._announce(",".join(moved[start : start + _IDS_IN_MESSAGE]))

    def heard(self, ids: str) -> None:
        """Another process has moved sessions, or forgotten all, or ("") may have done anything."""
        if ids == _EVERYTHING:
            self._known.clear()
            self._pending.clear()
            self._contested.clear()
            return
        for key in ids.split(",") if ids else list(self._known):
            if key in self._pending:
                self._contested.add(key)
            else:
                self._known.pop(key, None)

    async def forget_all(self) -> int:
        """Unbind every session, in all processes; how many were in the table. Raises
        Unavailable."""
        async with self._writing:
            self._forget_here_and_elsewhere()  # what is on its way to the table
            deleted = await self._store.delete()
            self._forget_here_and_elsewhere()  # what was read from it meanwhile
            return deleted

    def _forget_here_and_elsewhere(self) -> None:
        self.heard(_EVERYTHING)
        self._announce(_EVERYTHING)

    async def clean(self) -> None:
        """Delete what nothing follows any more. Raises Unavailable."""
        await self._store.delete(self._clock() - STATE_MS)

    def _remembered(self, key: str, *, carries_state: bool) -> TargetKey | Unknown | None:
        known = self._known.get(key)
        if known is None:
            return Unknown.UNKNOWN
        age_ms = self._clock() - known.used_at_ms
        if known.target is None:
            return None if age_ms <= ABSENT_MS else Unknown.UNKNOWN
        if age_ms > (STATE_MS if carries_state else PREFER_MS):
            return Unknown.UNKNOWN  # it may have gone on in another process
        self._known.move_to_end(key)
        return known.target

    def _note_stored(self, key: str, stored: Bound | None, now: int) -> None:
        """What the table says, unless this process knows better."""
        known = self._known.get(key)
        if stored is not None:
            if known is None or known.target is None or known.used_at_ms <= stored.used_at_ms:
                self._known[key] = _Known(stored.target, stored.used_at_ms, stored.used_at_ms)
        elif known is None or known.target is None:
            self._known[key] = _Known(None, now)
        self._known.move_to_end(key)
        _trim(self._known, self._max_sessions)


def _trim(found: "OrderedDict[str, V]", most: int) -> None:
    """Drop what was touched longest ago."""
    while len(found) > most:
        found.popitem(last=False)


BINDINGS: web.AppKey[Bindings] = web.AppKey("bindings", Bindings)


@asynccontextmanager
async def bindings(app: web.Application) -> AsyncGenerator[None]:
    """For `app.cleanup_ctx`, after the cluster: the bindings under BINDINGS."""
    cluster = app[CLUSTER]
    found = app[BINDINGS] = Bindings(
        BindingStore(app[DATABASE]), announce=partial(cluster.bus.publish, TOPIC)
    )
    cluster.bus.subscribe(TOPIC, found.heard)
    async with (
        tasks.every(COMMIT_S, found.commit, name="store bindings"),
        every_once(cluster.leases, "clean bindings", CLEAN_S, found.clean),
    ):
        yield
    await found.commit()
