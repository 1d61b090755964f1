"""What stores rely on, in both dialects: transactions, errors by class, and recovery."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.databases import Outage, PostgresOutage
from support.postgres import PostgresServer

from plexus_proxy.db.database import Conflict, Database, Rejected, Unavailable
from plexus_proxy.db.open import make_database, open_database
from plexus_proxy.db.postgres import PostgresDatabase
from plexus_proxy.db.sqlite import SqliteDatabase

QUERIES = """
-- name: add(name, size)
INSERT INTO thing (name, size) VALUES (:name, :size);
-- name: returning_name()
RETURNING name;
-- name: things()
SELECT name, size FROM thing ORDER BY name;
-- name: thing(name)
SELECT name, size FROM thing WHERE name = :name;
-- name: remove_smaller(size)
DELETE FROM thing WHERE size < :size;
"""


@pytest.fixture
async def things(empty_database_url: str, tmp_path: Path) -> AsyncIterator[Database]:
    (tmp_path / "queries").mkdir()
    (tmp_path / "queries" / "all.sql").write_text(QUERIES)
    (tmp_path / "migrations").mkdir()
    (tmp_path / "migrations" / "0001_a.sql").write_text(
        "CREATE TABLE thing (name TEXT NOT NULL PRIMARY KEY, size BIGINT)"
    )
    folders = {"migrations": tmp_path / "migrations", "queries": tmp_path / "queries"}
    database: Database
    if empty_database_url.startswith("sqlite://"):
        database = SqliteDatabase(Path(empty_database_url.removeprefix("sqlite://")), **folders)
    else:
        database = PostgresDatabase(empty_database_url, **folders)
    yield database
    await database.close()


async def names(database: Database) -> list[str]:
    return [row["name"] for row in await database.fetch_all("things")]


async def test_a_row_is_a_mapping_by_column_name(things: Database) -> None:
    await things.execute("add", name="a", size=None)
    assert await things.fetch_one("thing", name="a") == {"name": "a", "size": None}
    assert await things.fetch_one("thing", name="b") is None
    assert list(await things.fetch_all("things")) == [{"name": "a", "size": None}]


async def test_a_write_tells_how_many_rows_it_touched(things: Database) -> None:
    await things.execute_many("add", [{"name": n, "size": i} for i, n in enumerate("abcd")])
    assert await things.execute("remove_smaller", size=2) == 2
    assert await things.execute("remove_smaller", size=2) == 0


async def test_a_transaction_that_ends_well_is_kept(things: Database) -> None:
    async with things.transaction() as transaction:
        added = await transaction.fetch_one(("add", "returning_name"), name="a", size=1)
        assert added == {"name": "a"}
        assert await transaction.execute("add", name="b", size=2) == 1
        assert len(await transaction.fetch_all("things")) == 2
    assert await names(things) == ["a", "b"]


async def test_a_transaction_that_raises_leaves_nothing(things: Database) -> None:
    async def fail() -> None:
        async with things.transaction() as transaction:
            await transaction.execute("add", name="a", size=1)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert await names(things) == []
    await things.execute("add", name="b", size=1)
    assert await names(things) == ["b"]


async def test_others_do_not_see_what_is_not_committed(things: Database) -> None:
    async with things.transaction() as transaction:
        await transaction.execute("add", name="a", size=1)
        assert await names(things) == []


async def test_transactions_side_by_side_all_succeed(things: Database) -> None:
    async def add(name: str) -> None:
        async with things.transaction() as transaction:
            await transaction.execute("add", name=name, size=1)
            await asyncio.sleep(0)
            await transaction.execute("add", name=name.upper(), size=1)

    await asyncio.gather(*(add(name) for name in "abcdefghijklmnop"))
    assert len(await names(things)) == 32


async def test_execute_many_is_all_or_nothing(things: Database) -> None:
    with pytest.raises(Conflict):
        await things.execute_many("add", [{"name": n, "size": 1} for n in ("a", "b", "a")])
    assert await names(things) == []


async def test_a_broken_rule_is_a_conflict(things: Database) -> None:
    await things.execute("add", name="a", size=1)
    with pytest.raises(Conflict):
        await things.execute("add", name="a", size=2)
    with pytest.raises(Conflict):
        await things.execute("add", name=None, size=2)


@pytest.mark.parametrize("value", [{"name": "\ud800", "size": 1}, {"name": "a", "size": 2**63}])
async def test_a_value_no_column_can_hold_is_rejected(
    things: Database, value: dict[str, object]
) -> None:
    with pytest.raises(Rejected):
        await things.execute("add", **value)
    assert await names(things) == []


@pytest.mark.parametrize("steps", range(8))
async def test_a_caller_cancelled_at_any_moment_leaves_no_open_transaction(
    things: Database, steps: int
) -> None:
    await things.open()

    async def write() -> None:
        async with things.transaction() as transaction:
            await transaction.execute("add", name="a", size=1)
            await transaction.execute("add", name="b", size=1)

    task = asyncio.ensure_future(write())
    for _ in range(steps):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await things.execute("add", name="c", size=1)
    assert await names(things) in (["c"], ["a", "b", "c"])


@pytest.mark.parametrize("steps", range(4))
async def test_a_caller_cancelled_while_its_failure_is_undone_is_cancelled(
    things: Database, steps: int
) -> None:
    failing = asyncio.Event()

    async def write() -> None:
        async with things.transaction() as transaction:
            await transaction.execute("add", name="a", size=1)
            failing.set()
            raise ValueError

    task = asyncio.ensure_future(write())
    await failing.wait()
    for _ in range(steps):
        await asyncio.sleep(0)
    with pytest.raises(asyncio.CancelledError if task.cancel() else ValueError):
        await task
    await things.execute("add", name="c", size=1)
    assert await names(things) == ["c"]


async def test_reads_cancelled_in_the_middle_do_no_harm(things: Database) -> None:
    await things.open()
    reads = [asyncio.ensure_future(names(things)) for _ in range(30)]
    await asyncio.sleep(0)
    for read in reads[::2]:
        read.cancel()
    results = await asyncio.gather(*reads, return_exceptions=True)
    assert all(result == [] for result in results[1::2])
    await things.ping()


async def test_a_closed_database_is_unavailable(things: Database) -> None:
    await things.open()
    await things.close()
    for call in (
        things.ping(),
        things.fetch_all("things"),
        things.execute("remove_smaller", size=1),
    ):
        with pytest.raises(Unavailable):
            await call


async def test_a_database_that_was_never_opened_can_be_closed(database_url: str) -> None:
    await make_database(database_url).close()


async def test_a_start_without_the_database_recovers_when_it_comes(
    outage: Outage, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_database(outage.url) as database:
        assert "starting without it" in caplog.text
        for call in (database.ping(), database.fetch_one("usage_count")):
            with pytest.raises(Unavailable):
                await call
        await outage.end()
        await database.ping()
        assert await database.fetch_one("usage_count") == {"total": 0}


@pytest.fixture
async def postgres_outage(postgres_server: PostgresServer) -> AsyncIterator[PostgresOutage]:
    name = postgres_server.create()
    async with PostgresOutage(postgres_server.url(name)) as lost:
        yield lost
    postgres_server.drop(name)


async def test_connections_lost_while_idle_are_replaced(postgres_outage: PostgresOutage) -> None:
    await postgres_outage.end()
    async with open_database(postgres_outage.url) as database:
        await database.ping()
        await postgres_outage.begin()
        with pytest.raises(Unavailable):
            await database.ping()
        await postgres_outage.end()
        await database.ping()


async def test_a_connection_lost_in_a_transaction_is_unavailable_and_rolled_back(
    postgres_outage: PostgresOutage,
) -> None:
    await postgres_outage.end()
    async with open_database(postgres_outage.url) as database:

        async def lose_it() -> None:
            async with database.transaction() as transaction:
                await transaction.execute("usage_delete", request_id="x")
                await postgres_outage.begin()
                await transaction.execute("usage_delete", request_id="y")

        with pytest.raises(Unavailable):
            await lose_it()
        await postgres_outage.end()
        assert await database.fetch_one("usage_count") == {"total": 0}


async def test_a_database_dropped_from_the_server_is_unavailable(
    postgres_server: PostgresServer,
) -> None:
    name = postgres_server.create()
    async with open_database(postgres_server.url(name)) as database:
        await database.ping()
        postgres_server.drop(name)
        with pytest.raises(Unavailable):
            await database.ping()
        with pytest.raises(Unavailable):
            await database.fetch_one("usage_count")


async def test_a_file_that_is_no_database_is_unavailable_and_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "plexus.db"
    path.write_bytes(b"this is no database, but somebody's text " * 100)
    before = path.read_bytes()
    async with open_database(f"sqlite://{path}") as database:
        with pytest.raises(Unavailable):
            await database.ping()
    assert path.read_bytes() == before
