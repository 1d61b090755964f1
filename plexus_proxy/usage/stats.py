"""How fast and how busy targets are, over all processes, as this one knows it.

Each process counts its own requests as they end, and reads every few seconds what the others wrote
with their usage rows. Sums come from the database whole, with those of this process that are not
there yet on top; samples come one by one, each known by its request.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager

from aiohttp import web

from plexus_proxy import tasks
from plexus_proxy.cluster.bus import Bus
from plexus_proxy.cluster.cluster import CLUSTER
from plexus_proxy.cluster.leases import every_once
from plexus_proxy.config.model import TargetKey
from plexus_proxy.db.database import DATABASE, Unavailable
from plexus_proxy.log import reason
from plexus_proxy.usage.record import UsageRow
from plexus_proxy.usage.recorder import RECORDER
from plexus_proxy.usage.samples import HOUR_MS, Sample, Sums, sample_of, target_of
from plexus_proxy.usage.stats_store import StatisticsStore

TOPIC = "samples"
LAST = 10
"""Samples an average is taken of."""
KEPT_SAMPLES = 100
READ_S = 5.0
CLEAN_S = 60.0
_FIRST_S = 1.0
_READ_LIMIT_S = 10.0
_DAY_MS = 24 * HOUR_MS
_FORGET_MS = 7 * _DAY_MS
_TRAFFIC_MS = 90 * _DAY_MS
_OVERLAP_MS = 60_000  # how late a sample may reach the database, clocks that differ included

_log = logging.getLogger(__name__)


class Measurements:
    """What is known of one target. Averages are those of the last samples that know the number."""

    __slots__ = (
        "_e2e",
        "_speeds",
        "_ttfts",
        "e2e_tokens_per_s",
        "last_sample_ms",
        "mix",
        "requests_24h",
        "tokens_per_request",
        "tokens_per_s",
        "ttft_ms",
    )

    def __init__(self) -> None:
        self.mix: tuple[float, float, float, float] | None = None
        """Shares of the tokens of a day: input, cache read, cache write, output."""
        self.requests_24h = 0
        self.tokens_per_request = 0.0
        self.forget_samples()

    def forget_samples(self) -> None:
        self.ttft_ms: float | None = None
        self.tokens_per_s: float | None = None
        self.e2e_tokens_per_s: float | None = None
        self.last_sample_ms: int | None = None
        self._ttfts: deque[float] = deque(maxlen=LAST)
        self._speeds: deque[float] = deque(maxlen=LAST)
        self._e2e: deque[float] = deque(maxlen=LAST)

    def add(self, sample: Sample) -> None:
        self.last_sample_ms = max(self.last_sample_ms or 0, sample.at_ms)
        self.ttft_ms = _averaged(self._ttfts, sample.ttft_ms)
        self.tokens_per_s = _averaged(self._speeds, sample.tokens_per_s)
        self.e2e_tokens_per_s = _averaged(self._e2e, sample.e2e_tokens_per_s)

    def count(self, *sums: Sums) -> None:
        """All its requests of a day, in parts."""
        self.requests_24h = sum(each.requests for each in sums)
        fresh = sum(each.input_tokens for each in sums)
        read = sum(each.cache_read_tokens for each in sums)
        written = sum(each.cache_write_tokens for each in sums)
        output = sum(each.output_tokens for each in sums)
        total = fresh + read + written + output
        self.mix = (fresh / total, read / total, written / total, output / total) if total else None
        self.tokens_per_request = total / self.requests_24h if self.requests_24h else 0.0


def _averaged(values: deque[float], value: float | None) -> float | None:
    if value is not None:
        values.append(value)
    return sum(values) / len(values) if values else None


class Statistics:
    """Rows are noted as they end; what they say is worked out when it is asked for."""

    def __init__(self, store: StatisticsStore, bus: Bus) -> None:
        self._store = store
        self._bus = bus
        self._targets: dict[TargetKey, Measurements] = {}
        self._noted: list[UsageRow] = []
        self._written: list[UsageRow] = []
        self._stored: Mapping[TargetKey, Sums] = {}
        """Of a day, as the database had them."""
        self._unread: dict[TargetKey, Sums] = {}
        """Of this process, and not in those."""
        self._samples: dict[str, int] = {}
        """Requests whose sample is known → its time, for as long as it may be read again."""
        self._anew = True
        self._away = False
        self._read_ms = 0
        self._reading = asyncio.Lock()
        bus.subscribe(TOPIC, self._heard)

    def note(self, row: UsageRow) -> None:
        """A request of this process has ended."""
        self._noted.append(row)

    def note_written(self, rows: Sequence[UsageRow]) -> None:
        """Rows have come to the database."""
        self._written += rows

    def measured(self, key: TargetKey) -> Measurements | None:
        """What is known of a target; the answer keeps up with what becomes known."""
        if self._noted:
            self._settle()
        return self._targets.get(key)

    async def read(self, now_ms: int) -> None:
        """Learn what all processes wrote. Without the database what is known stays."""
        async with self._reading:
            self._settle()
            landed, self._written = self._written, []
            anew, self._anew = self._anew, False
            since_ms = now_ms - _FORGET_MS if anew else min(self._read_ms, now_ms) - _OVERLAP_MS
            most = KEPT_SAMPLES if anew else 2 * LAST
            try:
                async with asyncio.timeout(_READ_LIMIT_S):
                    # Only the hours that are wholly within the day, and the one that runs.
                    stored = await self._store.fetch_traffic(now_ms - _DAY_MS)
                    samples = await self._store.fetch_samples(since_ms, most)
            except BaseException as error:  # cancelled too: nothing was learnt
                self._written[:0] = landed
                self._anew = self._anew or anew
                if not isinstance(error, Unavailable | TimeoutError):
                    raise
                if not self._away:
                    _log.warning("statistics cannot be read: %s", reason(error))
                self._away = True
                return
            self._away = False
            self._read_ms = now_ms
            if anew:
                self._samples.clear()
                for each in self._targets.values():
                    each.forget_samples()
            for sample in samples:
                self._learn(sample)
            self._count(stored, landed)
            self._forget(now_ms)

    async def clear(self, provider: str | None, model: str | None) -> int:
        """Delete the samples of some targets, in all processes; how many. Raises Unavailable."""
        async with self._reading:  # what is being read may be what is deleted
            deleted = await self._store.delete_samples(provider, model)
            self._settle()
            for (its_provider, its_model), found in self._targets.items():
                if provider in (None, its_provider) and model in (None, its_model):
                    found.forget_samples()
        self._bus.publish(TOPIC)
        return deleted

    async def clean(self, now_ms: int) -> None:
        """Delete what nobody will ask for any more."""
        await self._store.clean(now_ms - _TRAFFIC_MS, KEPT_SAMPLES)

    def _heard(self, ids: str) -> None:
        """Samples were deleted, perhaps."""
        self._anew = True

    def _settle(self) -> None:
        noted, self._noted = self._noted, []
        for row in noted:
            target = target_of(row)
            if target is None:
                continue
            unread = self._unread.setdefault(target, Sums())
            unread.add(row)
            self._target(target).count(self._stored.get(target, Sums()), unread)
            sample = sample_of(row)
            if sample is not None:
                self._learn(sample)

    def _learn(self, sample: Sample) -> None:
        if sample.request_id not in self._samples:
            self._samples[sample.request_id] = sample.at_ms
            self._target((sample.provider, sample.model)).add(sample)

    def _target(self, key: TargetKey) -> Measurements:
        found = self._targets.get(key)
        if found is None:
            found = self._targets[key] = Measurements()
        return found

    def _count(self, stored: Mapping[TargetKey, Sums], landed: Sequence[UsageRow]) -> None:
        """`landed` are rows that `stored` has; those another process left behind were not ours."""
        for row in landed:
            target = target_of(row)
            unread = None if target is None else self._unread.get(target)
            if unread is not None and unread.requests > 0:
                unread.take(row)
        self._unread = {key: sums for key, sums in self._unread.items() if sums.requests > 0}
        self._stored = stored
        for key in {*self._targets, *stored}:
            none = Sums()
            self._target(key).count(stored.get(key, none), self._unread.get(key, none))

    def _forget(self, now_ms: int) -> None:
        """Targets that have not served anything for long, and what cannot be read again."""
        self._samples = {
            request_id: at_ms
            for request_id, at_ms in self._samples.items()
            if at_ms >= now_ms - 2 * _OVERLAP_MS
        }
        self._targets = {
            key: found
            for key, found in self._targets.items()
            if found.requests_24h or (found.last_sample_ms or 0) >= now_ms - _FORGET_MS
        }


STATISTICS: web.AppKey[Statistics] = web.AppKey("statistics", Statistics)


@asynccontextmanager
async def statistics(app: web.Application) -> AsyncGenerator[None]:
    """For `app.cleanup_ctx`, after the recorder and the cluster: the Statistics under STATISTICS.

    They are read once before the first request, unless the database lets us wait."""
    shared = app[CLUSTER]
    found = app[STATISTICS] = Statistics(StatisticsStore(app[DATABASE]), shared.bus)
    app[RECORDER].on_row.append(found.note)
    app[RECORDER].on_written.append(found.note_written)

    async def read() -> None:
        await found.read(_now_ms())

    async def clean() -> None:
        await found.clean(_now_ms())

    await tasks.at_most(_FIRST_S, read(), name="read statistics first")
    async with (
        tasks.every(READ_S, read, name="read statistics"),
        every_once(shared.leases, "clean the statistics", CLEAN_S, clean),
    ):
        yield


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
