"""Schema migrations: whole or not at all, once, in order, from any number of processes."""

import asyncio
import subprocess
import sys
from pathlib import Path

import asyncpg
import pytest

from plexus_proxy.db.database import Database, SchemaTooNew
from plexus_proxy.db.migrate import Migration, pending, read_migrations
from plexus_proxy.db.open import make_database, migrate, open_database
from plexus_proxy.db.postgres import PostgresDatabase
from plexus_proxy.db.sqlite import SqliteDatabase
from plexus_proxy.resources import MIGRATIONS


def write(folder: Path, **files: str) -> Path:
    folder.mkdir(exist_ok=True)
    for name, sql in files.items():
        (folder / f"{name.replace('__', '.')}.sql").write_text(sql)
    return folder


@pytest.fixture
def queries(tmp_path: Path) -> Path:
    """Statements on the tables these tests migrate."""
    return write(
        tmp_path / "queries",
        all="-- name: applied()\nSELECT version FROM schema_migrations ORDER BY version;\n"
        "-- name: things()\nSELECT name FROM thing ORDER BY name;\n",
    )


def database_with(url: str, migrations: Path, queries: Path) -> Database:
    if url.startswith("sqlite"):
        path = Path(url.removeprefix("sqlite://"))
        return SqliteDatabase(path, migrations=migrations, queries=queries)
    return PostgresDatabase(url, migrations=migrations, queries=queries)


async def applied(database: Database) -> list[int]:
    return [row["version"] for row in await database.fetch_all("applied")]


def test_each_dialect_gets_its_half_of_a_pair(tmp_path: Path) -> None:
    write(tmp_path, **{"0001_a": "X", "0002_b__sqlite": "S", "0002_b__postgres": "P"})
    assert [m.sql for m in read_migrations(tmp_path, "sqlite")] == ["X", "S"]
    assert [m.sql for m in read_migrations(tmp_path, "postgres")] == ["X", "P"]


@pytest.mark.parametrize(
    ("files", "complaint"),
    [
        (["0001_a", "0003_c"], "0002 is missing"),
        (["0001_a", "0002_b__postgres"], "0002 is missing for sqlite"),
        (["0001_a", "0001_b"], "same number"),
        (["0001_a", "0001_a__sqlite"], "same number"),
        (["initial"], "not named like a migration"),
    ],
)
def test_a_folder_that_makes_no_sense_is_refused(
    tmp_path: Path, files: list[str], complaint: str
) -> None:
    write(tmp_path, **dict.fromkeys(files, "X"))
    with pytest.raises(ValueError, match=complaint):
        read_migrations(tmp_path, "sqlite")


def test_our_migrations_are_in_order_for_both_dialects() -> None:
    for dialect in ("sqlite", "postgres"):
        versions = [m.version for m in read_migrations(MIGRATIONS, dialect)]
        assert versions == list(range(1, len(versions) + 1))


def test_a_newer_schema_is_refused_with_what_to_do() -> None:
    with pytest.raises(SchemaTooNew, match=r"schema 0003.*knows schema 0001.*newer version"):
        pending([Migration(1, "0001_a.sql", "")], {1, 2, 3})


async def test_opening_again_changes_nothing(empty_database_url: str) -> None:
    for _ in range(2):
        async with open_database(empty_database_url) as database:
            await database.ping()
            assert await database.fetch_one("usage_count") == {"total": 0}


async def test_a_later_migration_is_added_to_what_is_there(
    empty_database_url: str, tmp_path: Path, queries: Path
) -> None:
    folder = write(
        tmp_path / "m", **{"0001_a": "CREATE TABLE thing (name TEXT NOT NULL PRIMARY KEY);"}
    )
    first = database_with(empty_database_url, folder, queries)
    assert await applied(first) == [1]
    await first.close()
    insert = "INSERT INTO thing VALUES ('one; two'); -- a; b\nINSERT INTO thing VALUES ('z')"
    write(folder, **{"0002_b": insert, "0003_c": "INSERT INTO thing VALUES ('zz');"})
    second = database_with(empty_database_url, folder, queries)
    assert [row["name"] for row in await second.fetch_all("things")] == ["one; two", "z", "zz"]
    assert await applied(second) == [1, 2, 3]
    await second.close()


async def test_a_failing_migration_leaves_nothing_of_itself(
    empty_database_url: str, tmp_path: Path, queries: Path
) -> None:
    folder = write(
        tmp_path / "m",
        **{
            "0001_a": "CREATE TABLE thing (name TEXT NOT NULL PRIMARY KEY);",
            "0002_b": "INSERT INTO thing VALUES ('half');\nINSERT INTO missing VALUES (1);",
        },
    )
    broken = database_with(empty_database_url, folder, queries)
    with pytest.raises(Exception, match="missing"):
        await broken.open()
    await broken.close()
    write(folder, **{"0002_b": "INSERT INTO thing VALUES ('whole');"})
    mended = database_with(empty_database_url, folder, queries)
    assert [row["name"] for row in await mended.fetch_all("things")] == ["whole"]
    await mended.close()


async def test_a_database_of_a_newer_version_is_not_opened(
    empty_database_url: str, tmp_path: Path, queries: Path
) -> None:
    newest = len(list(MIGRATIONS.glob("*.sql"))) + 1
    steps = {f"{n:04}_a": f"CREATE TABLE t{n} (x INTEGER)" for n in range(1, newest + 1)}
    folder = write(tmp_path / "m", **steps)
    newer = database_with(empty_database_url, folder, queries)
    await newer.open()
    await newer.close()
    with pytest.raises(SchemaTooNew):
        async with open_database(empty_database_url):
            pytest.fail("it opened")


def test_a_database_of_a_newer_version_stops_the_start_before_a_fork(database_url: str) -> None:
    migrate(database_url)

    async def pretend() -> None:
        database = make_database(database_url)
        if isinstance(database, PostgresDatabase):
            connection = await asyncpg.connect(database_url)
            await connection.execute("INSERT INTO schema_migrations VALUES (9999, 'x', 0)")
            await connection.close()
        else:
            import sqlite3

            with sqlite3.connect(database_url.removeprefix("sqlite://")) as file:
                file.execute("INSERT INTO schema_migrations VALUES (9999, 'x', 0)")
            file.close()

    asyncio.run(pretend())
    with pytest.raises(SchemaTooNew, match="9999"):
        migrate(database_url)


async def test_a_trigger_with_statements_inside_runs_in_sqlite(
    tmp_path: Path, queries: Path
) -> None:
    folder = write(
        tmp_path / "m",
        **{
            "0001_a": "CREATE TABLE thing (name TEXT);\n"
            "CREATE TRIGGER twice AFTER INSERT ON thing WHEN NEW.name = 'a' BEGIN\n"
            "  INSERT INTO thing VALUES ('b');\n"
            "  INSERT INTO thing VALUES ('c');\nEND;\n"
            "INSERT INTO thing VALUES ('a');\n"
        },
    )
    database = SqliteDatabase(tmp_path / "x.db", migrations=folder, queries=queries)
    assert [row["name"] for row in await database.fetch_all("things")] == ["a", "b", "c"]
    await database.close()


MIGRATE = "import sys; from plexus_proxy.db.open import migrate; migrate(sys.argv[1])"


def test_processes_that_start_at_once_migrate_once(empty_database_url: str) -> None:
    command = [sys.executable, "-W", "error", "-c", MIGRATE, empty_database_url]
    starts = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(4)]
    for process in starts:
        _, errors = process.communicate(timeout=60)
        assert (process.returncode, errors) == (0, "")
    migrate(empty_database_url)
