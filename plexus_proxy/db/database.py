"""The database as the stores see it: named statements, rows as mappings, one kind of transaction.

`sqlite.py` and `postgres.py` implement it; stores hold no dialect. Statements are the named queries
of sql/queries/ (loaded by aiosql); `params` are their named parameters. A query is one name, or
several joined in order: `("usage_rows", "usage_of_key", "usage_newest_first")`.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, NoReturn, Protocol

from aiohttp import web

Row = Mapping[str, Any]
Query = str | tuple[str, ...]


class Unavailable(Exception):
    """The database does not answer (connection lost, locked beyond the time-out, shutting down)."""


class SchemaTooNew(Unavailable):
    """A newer version of the program has migrated this database."""


class Conflict(Exception):
    """The statement broke a uniqueness or other integrity rule; nothing of it was kept."""


class Rejected(Exception):
    """The database cannot hold one of the values (text with NUL, a number beyond 64 bits)."""


class WrongUrl(ValueError):
    """DATABASE_URL cannot be used. The message never repeats the URL: it may hold a password."""


class Statements(Protocol):
    """What can be done inside and outside a transaction.

    All raise Unavailable; writes also raise Conflict and Rejected.
    """

    async def fetch_all(self, query: Query, **params: Any) -> Sequence[Row]:
        """All rows. Outside a transaction the statement must not write (RETURNING included)."""
        ...

    async def fetch_one(self, query: Query, **params: Any) -> Row | None: ...

    async def execute(self, query: Query, **params: Any) -> int:
        """Run a write; the number of rows it touched."""
        ...

    async def execute_many(self, query: Query, rows: Sequence[Row]) -> None:
        """Run a write once per row, all or nothing."""
        ...


class Database(Statements, Protocol):
    """An open database. It connects and migrates itself on first use, and again after a loss."""

    dialect: str
    """`sqlite` or `postgres`: for the /health report, never for branching."""

    @property
    def opened(self) -> bool:
        """Whether it has ever connected and is migrated; it may be away again since."""
        ...

    def transaction(self) -> AbstractAsyncContextManager[Statements]:
        """A write transaction; commits on the way out, rolls back on any exception."""
        ...

    async def notify(self, notices: Sequence[str]) -> None:
        """Send each notice to whoever listens, in any process that has this database open.

        A notice is less than 8000 bytes and without NUL; it is lost to who is not listening.
        """
        ...

    async def listen(self, heard: Callable[[str], None], listening: Callable[[], None]) -> NoReturn:
        """Call `heard` with each notice from now on, this process's own included, until cancelled.

        `listening` is called once nothing can be missed any more, and again after notices were
        missed. Raises Unavailable as soon as the database is lost; the caller comes again.
        """
        ...

    async def open(self) -> None:
        """Connect and migrate now instead of on first use. Raises Unavailable, SchemaTooNew."""
        ...

    async def ping(self) -> None:
        """Raises Unavailable if the database does not answer within a second."""
        ...

    async def close(self) -> None:
        """Release every connection; later calls raise Unavailable."""
        ...


DATABASE: web.AppKey[Database] = web.AppKey("database", Database)
