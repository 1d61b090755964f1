"""PostgreSQL: a pool of asyncpg connections, opened and migrated by the first use that succeeds.

A server that is away at the start is therefore no reason not to start: every call raises
Unavailable until one gets through.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from contextlib import (
    AbstractAsyncContextManager,
    asynccontextmanager,
    contextmanager,
    suppress,
)
from pathlib import Path
from typing import Any, NoReturn, Protocol, cast

import asyncpg

from plexus_proxy.db import migrate
from plexus_proxy.db.database import (
    Conflict,
    Query,
    Rejected,
    Row,
    Statements,
    Unavailable,
    WrongUrl,
)
from plexus_proxy.db.statements import StatementSet
from plexus_proxy.log import reason
from plexus_proxy.resources import MIGRATIONS, QUERIES
from plexus_proxy.tasks import spawn

_POOL_SIZE = 10
_CONNECT_S = 10.0
_STATEMENT_MS = 30_000
_SILENCE_S = 35.0  # beyond the server's own limit: the network has gone
_MIGRATION_S = 86_400.0
_IDLE_S = 20.0
_PING_S = 1.0
_CLOSE_S = 5.0
_MIGRATION_LOCK = 0x706C657875730001  # "plexus", 1
_CHANNEL = "plexus"
_PROBE_S = 15.0
"""How often a connection that only listens is asked whether it still does."""
_GOODBYE_S = 0.3

# Classes and codes of errors that pass when the server, its disk or its load recovers
# (PostgreSQL documentation, appendix A): connection, operator intervention, resources,
# authentication, catalogue name, transaction rollback, system, configuration, read-only standby.
_OUT_OF_REACH = ("08", "57", "53", "28", "3D", "40", "58", "F0", "25006")

_NO_ANSWER = (asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, TimeoutError)
_ASYNCPG_ERRORS = (asyncpg.PostgresError, *_NO_ANSWER)


class _Connection(Protocol):
    """What we use of an asyncpg connection (the library carries no usable types)."""

    async def fetch(self, query: str, *args: Any) -> list[Any]: ...
    async def fetchrow(self, query: str, *args: Any) -> Any: ...
    async def fetchval(self, query: str, *args: Any) -> Any: ...
    async def execute(self, query: str, *args: Any, timeout: float | None = ...) -> str: ...
    async def executemany(self, command: str, args: Sequence[Any]) -> None: ...
    def transaction(self) -> Any: ...


class _Listener(_Connection, Protocol):
    """What we use of a connection that listens."""

    async def add_listener(self, channel: str, callback: Callable[..., None]) -> None: ...
    def add_termination_listener(self, callback: Callable[..., None]) -> None: ...
    async def close(self, *, timeout: float) -> None: ...
    def terminate(self) -> None: ...


class _Pool(Protocol):
    """What we use of an asyncpg pool."""

    def __await__(self) -> Generator[Any, None, Any]: ...
    async def acquire(self, *, timeout: float) -> _Connection: ...
    async def release(self, connection: _Connection, *, timeout: float) -> None: ...
    async def close(self) -> None: ...
    def terminate(self) -> None: ...


class PostgresDatabase:
    """A database on a server, named by its `postgres://` or `postgresql://` URL."""

    dialect = "postgres"

    def __init__(self, url: str, *, migrations: Path = MIGRATIONS, queries: Path = QUERIES) -> None:
        self._statements = StatementSet(queries, "$")
        self._migrations = migrate.read_migrations(migrations, "postgres")
        self._url = url
        self._pool: _Pool | None = None
        self._opening: asyncio.Task[Exception | None] | None = None
        self._closed = False

    @property
    def opened(self) -> bool:
        return self._pool is not None

    async def fetch_all(self, query: Query, **params: Any) -> Sequence[Row]:
        async with self._connection() as connection:
            return await _Session(connection, self._statements).fetch_all(query, **params)

    async def fetch_one(self, query: Query, **params: Any) -> Row | None:
        async with self._connection() as connection:
            return await _Session(connection, self._statements).fetch_one(query, **params)

    async def execute(self, query: Query, **params: Any) -> int:
        async with self._connection() as connection:
            return await _Session(connection, self._statements).execute(query, **params)

    async def execute_many(self, query: Query, rows: Sequence[Row]) -> None:
        async with self._connection() as connection:
            await _Session(connection, self._statements).execute_many(query, rows)

    def transaction(self) -> AbstractAsyncContextManager[Statements]:
        return self._transaction()

    @asynccontextmanager
    async def _transaction(self) -> AsyncGenerator[Statements]:
        async with self._connection() as connection:
            transaction = connection.transaction()
            with _mapped_errors():
                await transaction.start()
            try:
                yield _Session(connection, self._statements)
            except BaseException:
                with suppress(*_ASYNCPG_ERRORS):  # a lost connection has rolled back by itself
                    await transaction.rollback()
                raise
            with _mapped_errors():
                await transaction.commit()

    async def notify(self, notices: Sequence[str]) -> None:
        async with self._connection() as connection:
            with _mapped_errors():
                await connection.executemany(
                    "SELECT pg_notify($1, $2)", [(_CHANNEL, notice) for notice in notices]
                )

    async def listen(self, heard: Callable[[str], None], listening: Callable[[], None]) -> NoReturn:
        with _mapped_errors():
            connection = await _listener(self._url)
        lost = asyncio.Event()
        connection.add_termination_listener(lambda *_: lost.set())
        try:
            with _mapped_errors():
                await connection.add_listener(_CHANNEL, lambda *called: heard(called[-1]))
                listening()
                while not lost.is_set():
                    try:
                        async with asyncio.timeout(_PROBE_S):
                            await lost.wait()
                    except TimeoutError:
                        await connection.execute("SELECT 1", timeout=_CONNECT_S)
            raise Unavailable("PostgreSQL: the listening connection was lost")
        finally:
            try:
                await connection.close(timeout=_GOODBYE_S)
            except _ASYNCPG_ERRORS:
                connection.terminate()

    async def open(self) -> None:
        if self._pool is None:
            await self._ready_pool()

    async def ping(self) -> None:
        try:
            async with asyncio.timeout(_PING_S), self._connection() as connection:
                with _mapped_errors():
                    await connection.fetchval("SELECT 1")
        except TimeoutError:
            raise Unavailable("The database did not answer within a second.") from None

    async def close(self) -> None:
        self._closed = True
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.wait([self._opening])
        if self._pool is None:
            return
        pool, self._pool = self._pool, None
        try:
            async with asyncio.timeout(_CLOSE_S):
                await pool.close()
        except _ASYNCPG_ERRORS:
            pool.terminate()

    @asynccontextmanager
    async def _connection(self) -> AsyncGenerator[_Connection]:
        pool = self._pool or await self._ready_pool()
        with _mapped_errors():
            connection = await pool.acquire(timeout=_CONNECT_S)
        try:
            yield connection
        finally:
            with suppress(*_ASYNCPG_ERRORS):  # the pool drops a connection it cannot reset
                await pool.release(connection, timeout=_CLOSE_S)

    async def _ready_pool(self) -> _Pool:
        """Open once for all who wait; a caller that gives up does not stop it."""
        if self._opening is None or self._opening.done():
            self._opening = spawn(self._open(), name="open PostgreSQL")
        failure = await asyncio.shield(self._opening)
        if failure is not None:
            raise failure
        if self._pool is None:
            raise Unavailable("The database is closed.")
        return self._pool

    async def _open(self) -> Exception | None:
        if self._closed:
            return Unavailable("The database is closed.")
        pool = _pool(self._url)
        try:
            with _mapped_errors():
                await pool
                connection = await pool.acquire(timeout=_CONNECT_S)
                await _apply(connection, self._migrations)
                await pool.release(connection, timeout=_CLOSE_S)
        except (Unavailable, WrongUrl) as error:
            pool.terminate()
            return error
        except BaseException:
            pool.terminate()
            raise
        self._pool = pool
        return None


class _Session:
    """Statements on one connection."""

    def __init__(self, connection: _Connection, statements: StatementSet) -> None:
        self._connection = connection
        self._statements = statements

    async def fetch_all(self, query: Query, **params: Any) -> Sequence[Row]:
        statement = self._statements.get(query)
        with _mapped_errors():
            records = await self._connection.fetch(statement.sql, *statement.values(params))
        return [dict(record) for record in records]

    async def fetch_one(self, query: Query, **params: Any) -> Row | None:
        statement = self._statements.get(query)
        with _mapped_errors():
            record = await self._connection.fetchrow(statement.sql, *statement.values(params))
        return None if record is None else dict(record)

    async def execute(self, query: Query, **params: Any) -> int:
        statement = self._statements.get(query)
        with _mapped_errors():
            tag = await self._connection.execute(statement.sql, *statement.values(params))
        return int(tag.rpartition(" ")[2])  # "DELETE 3", "INSERT 0 1"

    async def execute_many(self, query: Query, rows: Sequence[Row]) -> None:
        statement = self._statements.get(query)
        with _mapped_errors():
            await self._connection.executemany(statement.sql, [statement.values(r) for r in rows])


async def _listener(url: str) -> _Listener:
    connect = cast(Any, asyncpg.connect)  # pyright: ignore[reportUnknownMemberType] - untyped
    return await connect(
        url,
        timeout=_CONNECT_S,
        command_timeout=_SILENCE_S,
        server_settings={"application_name": "plexus-proxy"},
    )


def _pool(url: str) -> _Pool:
    create = cast(Any, asyncpg.create_pool)  # pyright: ignore[reportUnknownMemberType] - untyped
    return create(
        url,
        min_size=0,
        max_size=_POOL_SIZE,
        timeout=_CONNECT_S,
        command_timeout=_SILENCE_S,
        max_inactive_connection_lifetime=_IDLE_S,
        server_settings={
            "application_name": "plexus-proxy",
            "statement_timeout": str(_STATEMENT_MS),
        },
    )


async def _apply(connection: _Connection, migrations: Sequence[migrate.Migration]) -> None:
    """Run what is pending, each in a transaction of its own. Raises SchemaTooNew."""
    while True:
        async with connection.transaction():
            await connection.execute("SET LOCAL statement_timeout = 0", timeout=_MIGRATION_S)
            await connection.execute(
                "SELECT pg_advisory_xact_lock($1)", _MIGRATION_LOCK, timeout=_MIGRATION_S
            )
            await connection.execute(migrate.CREATE_TABLE)
            records = await connection.fetch(migrate.SELECT_APPLIED)
            waiting = migrate.pending(migrations, {record["version"] for record in records})
            if waiting:
                await connection.execute(waiting[0].sql, timeout=_MIGRATION_S)
                await connection.execute(
                    "INSERT INTO schema_migrations VALUES ($1, $2, $3)",
                    waiting[0].version,
                    waiting[0].name,
                    int(time.time() * 1000),
                )
        if len(waiting) <= 1:
            return


@contextmanager
def _mapped_errors() -> Generator[None]:
    """asyncpg's and the socket's errors as ours. Their messages hold no credentials."""
    try:
        yield
    except (Unavailable, WrongUrl):
        raise
    except asyncpg.IntegrityConstraintViolationError as error:
        raise Conflict(error.args[0]) from error
    except asyncpg.DataError as error:
        raise Rejected(f"PostgreSQL cannot store a value: {type(error).__name__}") from error
    except asyncpg.PostgresError as error:
        if str(getattr(error, "sqlstate", "")).startswith(_OUT_OF_REACH):
            raise Unavailable(f"PostgreSQL: {error.args[0]}") from error
        raise
    except asyncpg.ClientConfigurationError:
        raise WrongUrl("DATABASE_URL is not a valid PostgreSQL URL.") from None
    except _NO_ANSWER as error:
        raise Unavailable(f"PostgreSQL: {reason(error)}") from error
