"""The database as the stores see it: named statements, rows as mappings, one kind of transaction.

`sqlite.py` and `postgres.py` implement it; stores hold no dialect. Statements are the named queries
of sql/queries/ (loaded by aiosql); `params` are their named parameters.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

Row = Mapping[str, Any]


class Unavailable(Exception):
    """The database does not answer (connection lost, locked beyond the time-out, shutting down)."""


class Statements(Protocol):
    """What can be done inside and outside a transaction. All raise Unavailable."""

    async def fetch_all(self, query: str, **params: Any) -> Sequence[Row]: ...

    async def fetch_one(self, query: str, **params: Any) -> Row | None: ...

    async def execute(self, query: str, **params: Any) -> None: ...

    async def execute_many(self, query: str, rows: Sequence[Row]) -> None: ...


class Database(Statements, Protocol):
    """An open, migrated database."""

    dialect: str
    """`sqlite` or `postgres`: for the /health report, never for branching."""

    def transaction(self) -> AbstractAsyncContextManager[Statements]:
        """A write transaction; commits on the way out, rolls back on any exception."""
        ...

    async def ping(self) -> None:
        """Raises Unavailable if the database does not answer within a second."""
        ...
