"""DATABASE_URL → an open database; which dialect it is matters nowhere else."""

import asyncio
import logging
import re
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

from aiohttp import web

from plexus_proxy.db.database import DATABASE, Database, SchemaTooNew, Unavailable, WrongUrl
from plexus_proxy.db.postgres import PostgresDatabase
from plexus_proxy.db.sqlite import SqliteDatabase

_log = logging.getLogger(__name__)

_SCHEME = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<rest>.*)", re.DOTALL)


def make_database(url: str) -> Database:
    """The database of `url`, not connected yet. Raises WrongUrl.

    `sqlite://path`: absolute, or relative to the working directory; `sqlite://:memory:`;
    `postgres://` and `postgresql://` as libpq reads them (`?sslmode=` included).
    """
    match = _SCHEME.fullmatch(url)
    scheme = match["scheme"].lower() if match else ""
    if match and scheme == "sqlite":
        return SqliteDatabase(_sqlite_path(match["rest"]))
    if scheme in ("postgres", "postgresql"):
        _check_postgres(url)
        return PostgresDatabase(url)
    raise WrongUrl("DATABASE_URL must begin with sqlite://, postgres:// or postgresql://.")


def _sqlite_path(text: str) -> Path | None:
    if text.rstrip("/") == ":memory:":
        return None
    if not text or text.endswith("/"):
        raise WrongUrl("DATABASE_URL names no file: write sqlite://path/to/plexus.db.")
    return Path(text).absolute()


def _check_postgres(url: str) -> None:
    try:
        _ = urlsplit(url).port  # asyncpg would repeat what it cannot read, which may be a password
    except ValueError:
        raise WrongUrl(
            "DATABASE_URL is not a valid PostgreSQL URL; percent-encode special characters in"
            " the user name and password."
        ) from None


@asynccontextmanager
async def open_database(url: str) -> AsyncGenerator[Database]:
    """A connected and migrated database, closed at the end.

    Raises WrongUrl and SchemaTooNew. A database that is away is only warned about: it connects and
    migrates on the first use that succeeds, and until then every use raises Unavailable.
    """
    opened = make_database(url)
    try:
        try:
            await opened.open()
        except SchemaTooNew:
            raise
        except Unavailable as error:
            _log.warning("the database is not available yet, starting without it: %s", error)
        yield opened
    finally:
        await opened.close()


def migrate(url: str) -> None:
    """Bring the database up to date, from outside any event loop (before workers are forked).

    Raises WrongUrl and SchemaTooNew; a database that is away is migrated by its first use.
    """

    async def once() -> None:
        async with open_database(url):
            pass

    asyncio.run(once())


def database(
    url: str,
) -> Callable[[web.Application], AbstractAsyncContextManager[None]]:
    """For `app.cleanup_ctx`: puts the database under DATABASE while the application runs."""

    @asynccontextmanager
    async def context(app: web.Application) -> AsyncGenerator[None]:
        async with open_database(url) as opened:
            app[DATABASE] = opened
            yield

    return context
