"""Reasoning kept for clients that do not send it back.

Most Chat clients drop thinking blocks and signatures, yet a provider demands them in the next step
of a tool loop. What a finished turn thought is kept in the database under (client key, anchor) for
a few hours, so that a restart or another worker still has it; each process remembers its latest.
What anchors are, and how a request says which it needs, is in `formats/anchors.py`.
"""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from aiohttp import web

from plexus_proxy import tasks
from plexus_proxy.cluster.cluster import CLUSTER
from plexus_proxy.cluster.leases import every_once
from plexus_proxy.crypto import Sealer, Secret
from plexus_proxy.db.database import DATABASE, Conflict, Rejected, Row, Unavailable
from plexus_proxy.formats.anchors import Sought
from plexus_proxy.formats.conversation import Reasoning, Remembered
from plexus_proxy.log import reason
from plexus_proxy.vault.memory import Kept, Memory, size_of
from plexus_proxy.vault.store import VaultStore

_log = logging.getLogger(__name__)

TTL_MS = 6 * 3600 * 1000
MAX_STORED_BYTES = 512 * 1024 * 1024
MAX_MEMORY_BYTES = 32 * 1024 * 1024
MAX_TURN_BYTES = 4 * 1024 * 1024
"""A turn that thought more is not kept."""
COMMIT_S = 0.3
"""How long the end of an answer waits for its reasoning to be committed."""
MISS_S = 1.0
"""How long a request waits for reasoning that must have been kept."""
LOOK_S = 0.2
"""How long it waits for a database to say whether there is any."""
CLEAN_S = 300.0
_POLL_S = 0.05
_ABSENT_MS = 60_000
_MAX_PENDING_BYTES = 64 * 1024 * 1024


class ReasoningVault:
    """The memory of this process, the rows of all, and what is on its way there."""

    def __init__(
        self,
        store: VaultStore,
        *,
        ttl_ms: int = TTL_MS,
        commit_s: float = COMMIT_S,
        miss_s: float = MISS_S,
        max_stored_bytes: int = MAX_STORED_BYTES,
    ) -> None:
        self._store = store
        self._ttl_ms = ttl_ms
        self._commit_s = commit_s
        self._miss_s = miss_s
        self._max_stored_bytes = max_stored_bytes
        self._memory = Memory(MAX_MEMORY_BYTES)
        self._pending: list[Row] = []
        self._pending_bytes = 0
        self._committing = asyncio.Lock()

    async def keep(self, key_name: str, remembered: Remembered) -> None:
        """Keep a turn's reasoning under each of its anchors. Returns once it is committed, or
        after COMMIT_S while the commit goes on; never fails."""
        if size_of(remembered.parts) > MAX_TURN_BYTES:
            return
        expires_at_ms = _now_ms() + self._ttl_ms
        for anchor in remembered.anchors:
            self._memory.put((key_name, anchor), Kept(remembered.parts, expires_at_ms))
        if self._pending_bytes < _MAX_PENDING_BYTES:
            rows = self._store.rows(key_name, remembered, expires_at_ms)
            self._pending += rows
            self._pending_bytes += sum(row["size_bytes"] for row in rows)
        commit = tasks.spawn(self.commit(), name="keep reasoning")
        await asyncio.wait([commit], timeout=self._commit_s)

    async def commit(self) -> None:
        """When this returns, all that was kept before is in the database, or lost to it.

        Whoever waits its turn finds that the one before has written its rows too: under load many
        turns share a transaction.
        """
        async with self._committing:
            rows, self._pending, self._pending_bytes = self._pending, [], 0
            if not rows:
                return
            try:
                await self._store.insert(rows)
            except (Unavailable, Conflict, Rejected) as error:
                _log.warning("reasoning is kept in memory only: %s", reason(error))

    async def fetch(self, key_name: str, sought: Sought) -> Mapping[str, tuple[Reasoning, ...]]:
        """What is kept, by anchor. What is awaited and not there yet is asked for again until
        MISS_S have gone; never fails."""
        now_ms = _now_ms()
        found: dict[str, tuple[Reasoning, ...]] = {}
        missing: list[str] = []
        for anchor in sought.anchors:
            parts = self._memory.get((key_name, anchor), now_ms)
            if parts:
                found[anchor] = parts
            elif parts is None:
                missing.append(anchor)
        if not missing:
            return found
        answered = False
        is_awaited = not sought.awaited.isdisjoint(missing)
        try:
            async with asyncio.timeout(self._miss_s if is_awaited else LOOK_S):
                while True:
                    stored = await self._store.fetch(key_name, missing, now_ms)
                    for anchor, kept in stored.items():
                        self._memory.put((key_name, anchor), kept)
                        found[anchor] = kept.parts
                    missing = [anchor for anchor in missing if anchor not in stored]
                    answered = True
                    if sought.awaited.isdisjoint(missing):
                        break
                    await asyncio.sleep(_POLL_S)
        except TimeoutError:
            pass
        except Unavailable as error:
            _log.warning("kept reasoning cannot be fetched: %s", reason(error))
            return found
        if answered:  # a database that said nothing has not said no
            self._note_absent(key_name, missing)
        return found

    def _note_absent(self, key_name: str, anchors: Sequence[str]) -> None:
        """Unless something was kept while the database was asked."""
        now_ms = _now_ms()
        absent = Kept((), now_ms + _ABSENT_MS)
        for anchor in anchors:
            if self._memory.get((key_name, anchor), now_ms) is None:
                self._memory.put((key_name, anchor), absent)

    async def clean(self) -> None:
        """Delete what has expired or is too much."""
        await self._store.clean(_now_ms(), self._max_stored_bytes)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


VAULT: web.AppKey[ReasoningVault] = web.AppKey("vault", ReasoningVault)


def reasoning_vault(
    encryption_key: Secret | None, *, clean_s: float = CLEAN_S
) -> Callable[[web.Application], AbstractAsyncContextManager[None]]:
    """For `app.cleanup_ctx`, after the cluster: the vault under VAULT, cleaned by one process."""

    @asynccontextmanager
    async def context(app: web.Application) -> AsyncGenerator[None]:
        sealer = Sealer(encryption_key)
        vault = app[VAULT] = ReasoningVault(VaultStore(app[DATABASE], sealer))
        async with every_once(app[CLUSTER].leases, "clean the vault", clean_s, vault.clean):
            yield
        await vault.commit()

    return context
