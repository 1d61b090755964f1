"""Usage rows on their way to the database; the request path never waits for it.

`submit` puts a row on a list. One task empties the list twice a second in batches, so a crash loses
less than a second. While the database is away the batches go to the spool, and are replayed when it
is back; each row counts once however often it is sent. At the end everything left is written.
"""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from pathlib import Path
from typing import TypeVar

from aiohttp import web

from plexus_proxy import tasks
from plexus_proxy.db.database import DATABASE, Conflict, Rejected, Unavailable
from plexus_proxy.log import reason
from plexus_proxy.usage.live import InFlight
from plexus_proxy.usage.record import UsageRow
from plexus_proxy.usage.scrub import scrub
from plexus_proxy.usage.spool import Segment, Spool
from plexus_proxy.usage.store import UsageStore

_log = logging.getLogger(__name__)
T = TypeVar("T")

FLUSH_S = 0.5
BATCH_ROWS = 250
QUEUE_ROWS = 20_000
REPLAY_S = 2.0
_INSERT_S = 10.0
_ORPHANS_S = 15.0
_LAST_REPLAY_S = 5.0
_SPILLS = 3  # overflowing queues on their way to the disk at the same time


class Recorder:
    """The queue, its one writer, and what is in flight."""

    def __init__(
        self,
        store: UsageStore,
        spool: Spool,
        *,
        queue_rows: int = QUEUE_ROWS,
        replay_s: float = REPLAY_S,
    ) -> None:
        self.in_flight = InFlight()
        self.lost_rows = 0
        """Rows that found neither the database nor room on the disk."""
        self.on_row: list[Callable[[UsageRow], None]] = []
        """Told of every row as it is submitted: cheap, and never raise."""
        self.on_written: list[Callable[[Sequence[UsageRow]], None]] = []
        """Told of rows that have come to the database, also those of processes that have died."""
        self._store = store
        self._spool = spool
        self._queue_rows = queue_rows
        self._replay_s = replay_s
        self._pending: list[UsageRow] = []
        self._flushing = asyncio.Lock()
        self._disk = ThreadPoolExecutor(1, thread_name_prefix="spool")
        self._spills: set[asyncio.Task[None]] = set()
        self._away = False
        self._disk_failing = False
        self._replay_at = 0.0
        self._orphans_at = 0.0

    def submit(self, row: UsageRow) -> None:
        """Take the row of a finished request. Never waits, never fails."""
        self._pending.append(row)
        for told in self.on_row:
            told(row)
        if len(self._pending) >= self._queue_rows:
            self._overflow()

    async def flush(self) -> None:
        """When this returns, all that was submitted before is in the database or on the disk.

        What comes meanwhile waits for the next time: a busy gateway would otherwise write a few
        rows at a time without end.
        """
        async with self._flushing:
            waiting = len(self._pending)
            while waiting > 0 and self._pending:
                size = min(BATCH_ROWS, waiting)
                waiting -= size
                batch = self._pending[:size]
                del self._pending[:size]
                try:
                    await self._write(batch)
                except OSError as error:
                    self._pending[:0] = batch
                    self._report_disk(error)
                    return
                except BaseException:  # cancelled: the rows may be there already, that is no harm
                    self._pending[:0] = batch
                    raise
                self._disk_failing = False

    async def replay(self) -> None:
        """Bring spooled rows home: our own, and those of processes that have died."""
        try:
            for segment in await self._on_disk(self._spool.claim):
                await self._replay_segment(segment)
        except (Unavailable, TimeoutError) as error:
            self._note_away(error)
        except OSError as error:
            self._report_disk(error)
        else:
            self._note_back()

    @asynccontextmanager
    async def running(self) -> AsyncGenerator["Recorder"]:
        """Write in the background for as long as the context lasts; at its end write the rest."""
        try:
            async with tasks.every(FLUSH_S, self._round, name="usage recorder"):
                yield self
        finally:
            await self._finish()

    async def _round(self) -> None:
        await self.flush()
        now = time.monotonic()
        due = self._away or self._spool.waiting
        if (due and now >= self._replay_at) or now >= self._orphans_at:
            self._replay_at = now + self._replay_s
            self._orphans_at = now + _ORPHANS_S
            await self.replay()

    async def _write(self, batch: Sequence[UsageRow]) -> None:
        """Into the database, or else onto the disk. Raises OSError if the disk fails too."""
        if not self._away:
            try:
                await self._insert(batch)
            except (Unavailable, TimeoutError) as error:
                self._note_away(error)
            else:
                return
        await self._on_disk(lambda: self._spool.append(batch))

    async def _insert(self, batch: Sequence[UsageRow]) -> None:
        """Each row once, some may be there already. Raises Unavailable, TimeoutError."""
        now_ms = int(time.time() * 1000)
        async with asyncio.timeout(_INSERT_S):
            try:
                await self._store.insert_rows(batch, now_ms)
            except (Conflict, Rejected):
                await self._insert_with_care(batch, now_ms)
        for told in self.on_written:
            told(batch)

    async def _insert_with_care(self, batch: Sequence[UsageRow], now_ms: int) -> None:
        """A replay, or a row the database does not take: find out which."""
        try:
            await self._store.insert_unknown_rows(batch, now_ms)
            return
        except (Conflict, Rejected):
            _log.warning("the database refuses a usage row, looking for it")
        for row in batch:
            try:
                await self._store.insert_unknown_rows([scrub(row)], now_ms)
            except (Conflict, Rejected) as error:
                self._lose(1, f"the database refuses {row.request_id}: {error}")

    async def _replay_segment(self, segment: Segment) -> None:
        rows = await self._on_disk(segment.rows)
        for start in range(0, len(rows), BATCH_ROWS):
            await self._insert(rows[start : start + BATCH_ROWS])
            self._note_back()
            await self.flush()  # fresh rows do not wait for the whole backlog
        await self._on_disk(lambda: self._spool.finish(segment))

    def _overflow(self) -> None:
        """The writer does not keep up: hand the queue to the disk in one piece."""
        rows, self._pending = self._pending, []
        if len(self._spills) >= _SPILLS:
            self._lose(len(rows), "the database and the disk are too slow")
            return
        spill = tasks.spawn(self._spill(rows), name="usage overflow")
        self._spills.add(spill)
        spill.add_done_callback(self._spills.discard)

    async def _spill(self, rows: Sequence[UsageRow]) -> None:
        try:
            await self._on_disk(lambda: self._spool.append(rows))
        except OSError as error:
            self._lose(len(rows), str(error))

    async def _finish(self) -> None:
        await self.flush()
        if self._spills:
            await asyncio.wait(self._spills)
        if self._spool.waiting and not self._away:
            with suppress(TimeoutError):  # what is left comes home at the next start
                async with asyncio.timeout(_LAST_REPLAY_S):
                    await self.replay()
        if self._pending:
            self._lose(len(self._pending), "neither the database nor the disk takes them")
        await self._on_disk(self._spool.close)
        self._disk.shutdown(wait=False)

    async def _on_disk(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._disk, work)

    def _note_away(self, error: Exception) -> None:
        if not self._away:
            _log.warning("the database is away, usage rows are kept on disk: %s", reason(error))
        self._away = True

    def _note_back(self) -> None:
        if self._away:
            _log.info("the database is back, usage rows go there again")
        self._away = False

    def _report_disk(self, error: OSError) -> None:
        if not self._disk_failing:
            _log.error("usage rows cannot be kept on disk and wait in memory: %s", error)
        self._disk_failing = True

    def _lose(self, rows: int, reason: str) -> None:
        self.lost_rows += rows
        _log.error("%d usage rows are lost: %s", rows, reason)


RECORDER: web.AppKey[Recorder] = web.AppKey("recorder", Recorder)


def recorder(data_dir: Path) -> Callable[[web.Application], AbstractAsyncContextManager[None]]:
    """For `app.cleanup_ctx`, after the database: the running Recorder under RECORDER."""

    @asynccontextmanager
    async def context(app: web.Application) -> AsyncGenerator[None]:
        found = Recorder(UsageStore(app[DATABASE]), Spool(data_dir / "spool"))
        app[RECORDER] = found
        async with found.running():
            yield

    return context
