"""Statistics of all processes, on both databases."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from support.databases import PostgresOutage, SqliteOutage
from support.rows import STARTED_AT_MS, served_row
from support.waiting import until

from plexus_proxy.cluster.bus import Bus
from plexus_proxy.cluster.cluster import CLUSTER, Cluster
from plexus_proxy.db.database import DATABASE, Database
from plexus_proxy.db.open import open_database
from plexus_proxy.usage.record import UsageRow
from plexus_proxy.usage.recorder import RECORDER, Recorder
from plexus_proxy.usage.samples import HOUR_MS
from plexus_proxy.usage.spool import Spool
from plexus_proxy.usage.stats import STATISTICS, Measurements, Statistics, statistics
from plexus_proxy.usage.stats_store import StatisticsStore
from plexus_proxy.usage.store import UsageStore

NOW_MS = STARTED_AT_MS + 5000
DAY_MS = 24 * HOUR_MS
TARGET = ("a", "m")


class Process:
    """What one process knows, and how its rows reach the database."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.statistics = Statistics(StatisticsStore(database), Bus(database, "test"))
        self.spool = Spool(folder)
        self.recorder = Recorder(UsageStore(database), self.spool, replay_s=0.1)
        self.recorder.on_row.append(self.statistics.note)
        self.recorder.on_written.append(self.statistics.note_written)

    async def serve(self, *rows: UsageRow) -> None:
        for row in rows:
            self.recorder.submit(row)
        await self.recorder.flush()

    async def read(self, now_ms: int = NOW_MS) -> None:
        await self.statistics.read(now_ms)

    def known(self, *target: str) -> Measurements:
        return self.statistics.measured((target[0], target[1])) or Measurements()

    def requests(self, *target: str) -> int:
        return self.known(*(target or TARGET)).requests_24h


class Processes:
    def __init__(self, database: Database, folder: Path) -> None:
        self._database = database
        self._folder = folder

    def start(self) -> Process:
        return Process(self._database, self._folder)


@pytest.fixture
def processes(database: Database, tmp_path: Path) -> Processes:
    return Processes(database, tmp_path / "spool")


def stream(ttft_ms: float, **changes: Any) -> UsageRow:
    return served_row(streamed=True, ttft_ms=ttft_ms, duration_ms=2000, **changes)


# ---- One process


async def test_averages_are_those_of_the_last_ten(processes: Processes) -> None:
    one = processes.start()
    for ttft_ms in (9999, *range(100, 200, 10)):
        one.statistics.note(stream(ttft_ms))
    assert one.known(*TARGET).ttft_ms == 145


async def test_whole_answers_do_not_drive_out_what_streams_told(processes: Processes) -> None:
    one = processes.start()
    for row in (stream(100), stream(200), *[served_row(duration_ms=1000)] * 15):
        one.statistics.note(row)
    found = one.known(*TARGET)
    assert (found.ttft_ms, found.e2e_tokens_per_s) == (150, pytest.approx(70, abs=30))


async def test_a_target_is_its_provider_and_model_exactly(processes: Processes) -> None:
    one, two = processes.start(), processes.start()
    await one.serve(served_row("openai-2"), served_row("openai", "gpt-2"), served_row("OpenAI"))
    await two.read()
    for process in (one, two):
        assert process.statistics.measured(("openai", "gpt")) is None
        assert process.requests("openai", "m") == 0
        assert process.requests("openai-2", "m") == 1


async def test_failures_count_as_requests_and_are_no_samples(processes: Processes) -> None:
    one, two = processes.start(), processes.start()
    await one.serve(served_row(status="error"), served_row(status="cancelled"))
    await two.read()
    for process in (one, two):
        found = process.known(*TARGET)
        assert (found.requests_24h, found.last_sample_ms, found.tokens_per_s) == (2, None, None)


async def test_the_mix_is_that_of_a_day(processes: Processes) -> None:
    one, two = processes.start(), processes.start()
    row = served_row(
        input_tokens=100, cache_read_tokens=600, cache_write_tokens=100, output_tokens=200
    )
    await one.serve(row, served_row(input_tokens=0, output_tokens=0, status="error"))
    await two.read()
    for process in (one, two):
        found = process.known(*TARGET)
        assert found.mix == (0.1, 0.6, 0.1, 0.2)
        assert found.tokens_per_request == 500


async def test_a_request_without_a_target_counts_nowhere(processes: Processes) -> None:
    one = processes.start()
    await one.serve(served_row(None, attempts=(), status="error"))
    await one.read()
    assert one.statistics.measured(("", "m")) is None


# ---- Several


async def test_each_request_counts_once_wherever_it_is_known_from(processes: Processes) -> None:
    one, two = processes.start(), processes.start()
    await one.serve(served_row(), served_row())
    two.recorder.submit(served_row())
    assert (one.requests(), two.requests()) == (2, 1)
    await one.read()
    await two.read()
    assert (one.requests(), two.requests()) == (2, 3)
    await two.recorder.flush()
    for _ in range(2):
        await one.read()
        await two.read()
        assert (one.requests(), two.requests()) == (3, 3)


async def test_samples_of_others_join_ones_own_once(processes: Processes) -> None:
    one, two = processes.start(), processes.start()
    await one.read()
    await two.read()
    await one.serve(stream(100))
    await two.serve(stream(400))
    for _ in range(2):
        await one.read()
        await two.read()
        assert one.known(*TARGET).ttft_ms == two.known(*TARGET).ttft_ms == 250


async def test_a_restart_forgets_nothing(processes: Processes) -> None:
    before = processes.start()
    await before.serve(*(stream(each, started_at_ms=STARTED_AT_MS + each) for each in range(20)))
    after = processes.start()
    await after.read()
    found, expected = after.known(*TARGET), before.known(*TARGET)
    assert found.ttft_ms == expected.ttft_ms == 14.5
    assert found.tokens_per_s == pytest.approx(expected.tokens_per_s)
    assert found.last_sample_ms == expected.last_sample_ms
    assert found.requests_24h == expected.requests_24h == 20


async def test_a_replayed_row_counts_once(processes: Processes, database: Database) -> None:
    one, two = processes.start(), processes.start()
    row, other = stream(100), stream(300)
    await one.serve(row)
    await two.serve(row, other)
    await UsageStore(database).insert_unknown_rows([row, other], NOW_MS)
    later = processes.start()
    await later.read()
    assert (later.requests(), later.known(*TARGET).ttft_ms) == (2, 200)


async def test_rows_that_come_home_from_the_disk_count_once(
    outage: SqliteOutage | PostgresOutage, tmp_path: Path
) -> None:
    async with open_database(outage.url) as database:
        one = Process(database, tmp_path / "spool")
        await one.serve(stream(100))
        await one.read()
        assert (one.requests(), one.known(*TARGET).ttft_ms) == (1, 100)
        await outage.end()
        async with one.recorder.running():
            await until(lambda: not one.spool.waiting, timeout=20)
        await one.read()
        after = Process(database, tmp_path / "other")
        await after.read()
        for process in (one, after):
            assert (process.requests(), process.known(*TARGET).ttft_ms) == (1, 100)


async def test_processes_that_write_the_same_sums_do_not_block_each_other(
    processes: Processes,
) -> None:
    names = [f"p{number}" for number in range(12)]
    running = [processes.start() for _ in range(4)]
    batches = [names, names[::-1], names[6:] + names[:6], names[::2] + names[1::2]]
    for _ in range(5):
        await asyncio.gather(
            *(
                process.serve(*map(served_row, batch))
                for process, batch in zip(running, batches, strict=True)
            )
        )
    after = processes.start()
    await after.read()
    assert {after.requests(name, "m") for name in names} == {20}
    assert not any(process.recorder.lost_rows for process in running)


# ---- Time


async def test_requests_are_those_of_a_day(processes: Processes) -> None:
    one = processes.start()
    await one.serve(served_row(), served_row(started_at_ms=STARTED_AT_MS - 12 * HOUR_MS))
    for later_ms, requests in ((0, 2), (13 * HOUR_MS, 1), (25 * HOUR_MS, 0)):
        await one.read(NOW_MS + later_ms)
        assert one.requests() == requests


async def test_a_target_is_forgotten_after_a_week(processes: Processes) -> None:
    one = processes.start()
    await one.serve(stream(100))
    await one.read(NOW_MS + 6 * DAY_MS)
    assert one.known(*TARGET).ttft_ms == 100
    for process in (one, processes.start()):
        await process.read(NOW_MS + 8 * DAY_MS)
        assert process.statistics.measured(TARGET) is None


async def test_the_newest_hundred_samples_of_each_target_are_kept(
    processes: Processes, database: Database
) -> None:
    one = processes.start()
    for provider, count in (("a", 120), ("b", 3)):
        for number in range(count):
            at_ms = STARTED_AT_MS + number - (9000 if provider == "b" else 0)
            one.recorder.submit(stream(number, provider=provider, started_at_ms=at_ms))
    await one.recorder.flush()
    await one.statistics.clean(NOW_MS)
    samples = await StatisticsStore(database).fetch_samples(0, 1000)
    assert [each.ttft_ms for each in samples if each.provider == "a"] == list(range(20, 120))
    assert len(samples) == 103


async def test_traffic_is_kept_for_ninety_days(processes: Processes, database: Database) -> None:
    one = processes.start()
    await one.serve(served_row(), served_row("b", started_at_ms=STARTED_AT_MS - 2 * DAY_MS))
    await one.statistics.clean(NOW_MS + 89 * DAY_MS)
    assert list(await StatisticsStore(database).fetch_traffic(0)) == [TARGET]


# ---- Clearing


@pytest.mark.parametrize(
    ("provider", "model", "left"),
    [
        (None, None, ""),
        ("a", None, "b/m"),
        ("a", "m", "a/n b/m"),
        (None, "m", "a/n"),
        ("x", None, "a/m a/n b/m"),
    ],
)
async def test_clearing_leaves_other_targets_alone(
    processes: Processes, provider: str | None, model: str | None, left: str
) -> None:
    one = processes.start()
    names = ("a/m", "a/n", "b/m")
    await one.serve(*(stream(5, provider=name[0], model=name[2]) for name in names))
    assert await one.statistics.clear(provider, model) == 3 - len(left.split())
    await one.read()
    after = processes.start()
    await after.read()
    for process in (one, after):
        seen = [name for name in names if process.known(*name.split("/")).ttft_ms is not None]
        assert " ".join(seen) == left
        assert process.requests() == 1


async def test_all_processes_learn_that_samples_are_gone(database: Database) -> None:
    clusters = [Cluster(database, lambda: "") for _ in range(2)]
    async with clusters[0].running(), clusters[1].running():
        one, two = (Statistics(StatisticsStore(database), each.bus) for each in clusters)
        await UsageStore(database).insert_rows([stream(5)], NOW_MS)
        await one.read(NOW_MS)
        await two.read(NOW_MS)
        await one.clear("a", None)

        async def forgotten() -> bool:
            await two.read(NOW_MS)
            found = two.measured(TARGET)
            return found is not None and found.ttft_ms is None

        async with asyncio.timeout(10):
            while not await forgotten():  # noqa: ASYNC110 - each look is a read
                await asyncio.sleep(0.02)


# ---- Running


async def test_without_a_database_own_requests_are_known(
    outage: SqliteOutage | PostgresOutage, tmp_path: Path
) -> None:
    async with open_database(outage.url) as database:
        one = Process(database, tmp_path / "spool")
        await one.serve(stream(100))
        await one.read()
        await one.read()
        assert (one.requests(), one.known(*TARGET).ttft_ms) == (1, 100)


@asynccontextmanager
async def application(database: Database, folder: Path) -> AsyncIterator[web.Application]:
    app = web.Application()
    app[DATABASE] = database
    app[CLUSTER] = Cluster(database, lambda: "")
    app[RECORDER] = Recorder(UsageStore(database), Spool(folder))
    async with statistics(app):
        yield app


async def test_what_was_known_is_there_when_the_application_starts(
    database: Database, tmp_path: Path
) -> None:
    now_ms = time.time_ns() // 1_000_000
    await UsageStore(database).insert_rows([stream(70, started_at_ms=now_ms - 9000)], now_ms)
    async with application(database, tmp_path) as app:
        found = app[STATISTICS].measured(TARGET)
        assert found is not None
        assert found.ttft_ms == 70
        app[RECORDER].submit(stream(90, started_at_ms=now_ms))
        assert (found.ttft_ms, app[STATISTICS].measured(TARGET)) == (70, found)
        assert found.ttft_ms == 80
