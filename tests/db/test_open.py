"""DATABASE_URL in all its spellings."""

import asyncio
import logging
from pathlib import Path

import pytest
from aiohttp import web
from support.postgres import PostgresServer

from plexus_proxy.db.database import DATABASE, WrongUrl
from plexus_proxy.db.open import database, make_database, migrate, open_database


async def count(url: str) -> int:
    async with open_database(url) as opened:
        await opened.ping()
        row = await opened.fetch_one("usage_count")
        assert row is not None
        return row["total"]


async def test_an_absolute_path_is_taken_as_it_is_and_its_folders_are_made(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "plexus.db"
    assert await count(f"sqlite://{path}") == 0
    assert path.is_file()


@pytest.mark.parametrize("text", ["./data/x.db", "data/x.db"])
async def test_a_relative_path_starts_at_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert await count(f"sqlite://{text}") == 0
    assert (tmp_path / "data" / "x.db").is_file()


@pytest.mark.parametrize("url", ["sqlite://:memory:", "sqlite://:memory:/"])
def test_a_database_in_memory_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert asyncio.run(count(url)) == 0
    assert list(tmp_path.iterdir()) == []


async def test_a_database_in_memory_reads_what_it_wrote() -> None:
    async with open_database("sqlite://:memory:") as opened:
        assert await opened.execute("usage_delete", request_id="x") == 0
        reads = (opened.fetch_one("usage_count") for _ in range(5))
        assert await asyncio.gather(*reads) == [{"total": 0}] * 5


async def test_both_spellings_of_postgres_and_sslmode_are_understood(
    postgres_server: PostgresServer,
) -> None:
    name = postgres_server.create()
    url = postgres_server.url(name)
    _, _, rest = url.partition("://")
    joint = "&" if "?" in rest else "?"
    for spelling in (f"postgres://{rest}", f"postgresql://{rest}{joint}sslmode=disable"):
        assert await count(spelling) == 0
    postgres_server.drop(name)


async def test_a_file_database_uses_wal_and_syncs_each_commit(tmp_path: Path) -> None:
    async with open_database(f"sqlite://{tmp_path / 'x.db'}") as opened:
        await opened.execute("usage_delete", request_id="x")
        assert (tmp_path / "x.db-wal").exists()


@pytest.mark.parametrize(
    "url", ["", "mysql://u:hunter2@h/d", "plexus.db", "sqlite://", "sqlite://folder/"]
)
def test_any_other_url_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(WrongUrl) as refusal:
        make_database(url)
    assert "DATABASE_URL" in str(refusal.value)
    assert "hunter2" not in str(refusal.value)


@pytest.mark.parametrize(
    "url",
    [
        "postgres://user:hunter2/x@127.0.0.1/db",
        "postgres://user:pass@word:hunter2@127.0.0.1:hunter2/db",
        "postgres://user:hunter2@127.0.0.1:1/db",
        "postgres://user:hunter2@127.0.0.1:1/db?sslmode=hunter2",
    ],
)
def test_a_password_shows_neither_in_errors_nor_in_the_log(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def start() -> None:
        async with open_database(url) as opened:
            await opened.ping()

    caplog.set_level(logging.DEBUG)
    with pytest.raises(Exception) as failure:  # noqa: PT011 - any error, as long as it is discreet
        asyncio.run(start())
    shown: BaseException | None = failure.value
    while shown is not None:
        assert "hunter2" not in f"{shown} {shown!r}"
        shown = shown.__cause__ or (None if shown.__suppress_context__ else shown.__context__)
    assert "hunter2" not in caplog.text


def test_migrating_needs_no_loop_and_can_be_repeated(empty_database_url: str) -> None:
    migrate(empty_database_url)
    migrate(empty_database_url)
    assert asyncio.run(count(empty_database_url)) == 0


async def test_the_application_holds_the_database_while_it_runs(database_url: str) -> None:
    app = web.Application()
    app.cleanup_ctx.append(database(database_url))
    runner = web.AppRunner(app)
    await runner.setup()
    await app[DATABASE].ping()
    await runner.cleanup()
