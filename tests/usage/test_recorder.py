"""From `submit` to the database, whatever happens in between."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from aiohttp import web
from support.databases import Outage, PostgresOutage
from support.postgres import PostgresServer
from support.rows import full_row, make_row

from plexus_proxy.db.database import Database
from plexus_proxy.db.open import database as database_context
from plexus_proxy.db.open import open_database
from plexus_proxy.usage import recorder as module
from plexus_proxy.usage.recorder import RECORDER, Recorder, recorder
from plexus_proxy.usage.spool import Spool
from plexus_proxy.usage.store import UsageFilters, UsageStore

EVERYTHING = UsageFilters()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "spool"


@pytest.fixture
def blocked_folder(folder: Path) -> None:
    folder.write_text("a file where the folder should be")


@pytest.fixture
def make_recorder(folder: Path) -> Callable[..., Recorder]:
    def make(database: Database, *, limit_bytes: int = 10**7, queue_rows: int = 1000) -> Recorder:
        spool = Spool(folder, limit_bytes=limit_bytes)
        return Recorder(UsageStore(database), spool, queue_rows=queue_rows, replay_s=0.0)

    return make


async def count(database: Database) -> int:
    return await UsageStore(database).count(EVERYTHING)


def spooled(folder: Path) -> int:
    return sum(path.read_text().count("\n") for path in folder.glob("*.jsonl"))


def was_used(folder: Path) -> bool:
    """The spool makes its folder with its first file."""
    return folder.exists()


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - a file is no event
            await asyncio.sleep(0.02)


def test_rows_wait_less_than_a_second() -> None:
    assert module.FLUSH_S < 1


async def test_a_submitted_row_reaches_the_database_by_itself(
    database: Database, make_recorder: Callable[..., Recorder]
) -> None:
    async with make_recorder(database).running() as writer:
        row = full_row()
        writer.submit(row)
        stored = None
        async with asyncio.timeout(30):
            while stored is None:
                await asyncio.sleep(0.02)
                stored = await UsageStore(database).fetch_row(row.request_id)
        assert stored.created_at_ms is not None


async def test_flush_returns_when_everything_is_stored(
    database: Database, make_recorder: Callable[..., Recorder]
) -> None:
    async with make_recorder(database).running() as writer:
        for _ in range(module.BATCH_ROWS * 2 + 7):
            writer.submit(make_row())
        await writer.flush()
        assert await count(database) == module.BATCH_ROWS * 2 + 7


async def test_a_stop_loses_nothing(
    database: Database, make_recorder: Callable[..., Recorder], folder: Path
) -> None:
    async with make_recorder(database).running() as writer:
        for _ in range(777):
            writer.submit(make_row())
    assert await count(database) == 777
    assert spooled(folder) == 0


async def test_a_stop_in_the_middle_of_a_batch_loses_nothing(
    database: Database, make_recorder: Callable[..., Recorder]
) -> None:
    writer = make_recorder(database, queue_rows=5000)
    async with writer.running():
        for _ in range(2000):
            writer.submit(make_row())
        flushing = asyncio.ensure_future(writer.flush())
        await asyncio.sleep(0.005)
        flushing.cancel()
    assert await count(database) == 2000
    assert writer.lost_rows == 0


async def test_while_the_database_is_away_rows_wait_on_disk_and_come_home_once(
    outage: Outage, make_recorder: Callable[..., Recorder], folder: Path
) -> None:
    async with open_database(outage.url) as database:
        async with make_recorder(database).running() as writer:
            for _ in range(600):
                writer.submit(make_row())
            await writer.flush()
            assert spooled(folder) == 600
            await outage.end()
            for _ in range(5):
                writer.submit(make_row())
            await until(lambda: spooled(folder) == 0)
            await writer.flush()
            assert await count(database) == 605
        assert writer.lost_rows == 0


async def test_a_stop_while_the_database_is_away_leaves_the_rows_to_the_next_start(
    outage: Outage, make_recorder: Callable[..., Recorder], folder: Path
) -> None:
    async with open_database(outage.url) as database, make_recorder(database).running() as first:
        first.submit(make_row())
    assert spooled(folder) == 1
    await outage.end()
    async with open_database(outage.url) as database, make_recorder(database).running():
        await until(lambda: spooled(folder) == 0)
        assert await count(database) == 1


async def test_a_connection_cut_while_writing_counts_each_row_once(
    postgres_server: PostgresServer, make_recorder: Callable[..., Recorder], folder: Path
) -> None:
    name = postgres_server.create()
    async with PostgresOutage(postgres_server.url(name)) as line:
        await line.end()
        async with open_database(line.url) as database, make_recorder(database).running() as writer:
            for round_number in range(6):
                for _ in range(400):
                    writer.submit(make_row())
                flushing = asyncio.ensure_future(writer.flush())
                await asyncio.sleep(0.002 * round_number)
                await line.begin()
                await flushing
                await line.end()
                await writer.replay()
            await until(lambda: spooled(folder) == 0)
            await writer.flush()
            assert await count(database) == 2400
            assert writer.lost_rows == 0
    postgres_server.drop(name)


async def test_rows_replayed_by_two_processes_count_once(
    database: Database, make_recorder: Callable[..., Recorder], folder: Path
) -> None:
    row = make_row()
    earlier = Spool(folder)
    earlier.append([row, make_row()])
    earlier.close()
    await UsageStore(database).insert_rows([row], 0)  # the other one stopped half-way
    async with make_recorder(database).running() as one:
        two = make_recorder(database)
        async with two.running():
            await asyncio.gather(one.replay(), two.replay())
    assert await count(database) == 2
    assert spooled(folder) == 0


CRASH = """
import asyncio, os, signal, sys
from pathlib import Path
from plexus_proxy.db.open import open_database
from plexus_proxy.usage.recorder import Recorder
from plexus_proxy.usage.spool import Spool
from plexus_proxy.usage.store import UsageStore
from support.rows import make_row

async def main():
    async with open_database(sys.argv[1]) as database:
        recorder = Recorder(UsageStore(database), Spool(Path(sys.argv[2])))
        async with recorder.running():
            for _ in range(100):
                recorder.submit(make_row())
            await recorder.flush()
            for _ in range(50):
                recorder.submit(make_row())
            os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


def crash(url: str, folder: Path) -> None:
    path = f"{Path(__file__).parents[1]}:{Path.cwd()}"
    crashed = subprocess.run(
        [sys.executable, "-c", CRASH, url, str(folder)], env={"PYTHONPATH": path}, check=False
    )
    assert crashed.returncode == -signal.SIGKILL


def test_a_kill_loses_only_what_was_not_flushed(database_url: str, folder: Path) -> None:
    crash(database_url, folder)

    async def read() -> int:
        async with open_database(database_url) as database:
            return await count(database)

    assert asyncio.run(read()) == 100


def test_rows_spooled_by_a_killed_process_come_home(tmp_path: Path, folder: Path) -> None:
    obstacle = tmp_path / "volume"
    obstacle.write_text("not mounted")
    url = f"sqlite://{obstacle / 'plexus.db'}"
    crash(url, folder)
    assert spooled(folder) == 100
    obstacle.unlink()

    async def replay() -> int:
        async with open_database(url) as database:
            writer = Recorder(UsageStore(database), Spool(folder))
            async with writer.running():
                await writer.replay()
            return await count(database)

    assert asyncio.run(replay()) == 100
    assert spooled(folder) == 0


async def test_a_full_queue_goes_to_the_disk_and_from_there_to_the_database(
    database: Database, make_recorder: Callable[..., Recorder], folder: Path
) -> None:
    writer = make_recorder(database, queue_rows=50)
    async with writer.running():
        for _ in range(120):
            writer.submit(make_row())
    assert was_used(folder)
    assert await count(database) == 120
    assert (spooled(folder), writer.lost_rows) == (0, 0)


async def test_memory_stays_bounded_when_neither_database_nor_disk_keep_up(
    outage: Outage,
    make_recorder: Callable[..., Recorder],
    folder: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with open_database(outage.url) as database:
        writer = make_recorder(database, queue_rows=10, limit_bytes=1)
        async with writer.running():
            for _ in range(95):
                writer.submit(make_row())
            await writer.flush()
        assert writer.lost_rows == 95
        assert "usage rows are lost" in caplog.text


async def test_rows_wait_in_memory_when_only_the_disk_fails(
    outage: Outage,
    make_recorder: Callable[..., Recorder],
    blocked_folder: None,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with open_database(outage.url) as database, make_recorder(database).running() as writer:
        for _ in range(30):
            writer.submit(make_row())
        await writer.flush()
        assert "wait in memory" in caplog.text
        await outage.end()
        await writer.replay()
        await writer.flush()
        assert await count(database) == 30
        assert writer.lost_rows == 0


async def test_a_value_the_database_refuses_does_not_hold_up_the_others(
    database: Database, make_recorder: Callable[..., Recorder]
) -> None:
    async with make_recorder(database).running() as writer:
        writer.submit(make_row(request_id="before"))
        writer.submit(make_row(request_id="bad", alias="a\ud800b", input_tokens=2**70))
        writer.submit(make_row(request_id="after"))
        await writer.flush()
        store = UsageStore(database)
        assert await store.fetch_row("before") is not None
        assert await store.fetch_row("after") is not None
        stored = await store.fetch_row("bad")
        assert stored is not None
        assert (stored.alias, stored.input_tokens) == ("a?b", 2**63 - 1)
        assert writer.lost_rows == 0


async def test_text_with_nul_is_kept_readable(
    database: Database, make_recorder: Callable[..., Recorder]
) -> None:
    async with make_recorder(database).running() as writer:
        writer.submit(make_row(request_id="nul", error_message="a\0b"))
        await writer.flush()
        stored = await UsageStore(database).fetch_row("nul")
        assert stored is not None
        assert stored.error_message in ("a\0b", "a\ufffdb")


async def test_the_application_holds_the_recorder_while_it_runs(
    database_url: str, tmp_path: Path
) -> None:
    app = web.Application()
    app.cleanup_ctx.append(database_context(database_url))
    app.cleanup_ctx.append(recorder(tmp_path))
    runner = web.AppRunner(app)
    await runner.setup()
    app[RECORDER].submit(make_row())
    await runner.cleanup()
    async with open_database(database_url) as database:
        assert await count(database) == 1
