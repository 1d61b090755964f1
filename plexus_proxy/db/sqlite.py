"""SQLite: one connection that writes, one that reads, each on a thread of its own.

Several processes may use the file: WAL lets readers go on while one writes, and every write
transaction starts with BEGIN IMMEDIATE, because a deferred one that turns into a write fails with
*locked* whatever the busy time-out is. A `:memory:` database has a single connection for both.

A thread runs what it is given in order. That is what keeps a cancelled caller harmless: whatever it
had started is followed on the same thread by its roll-back, before anybody else's statement.
"""

import asyncio
import re
import sqlite3
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext, suppress
from itertools import chain, product
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from plexus_proxy.db import migrate
from plexus_proxy.db.database import Conflict, Query, Rejected, Row, Statements, Unavailable
from plexus_proxy.db.sqlite_notices import add_notices, data_version, notices_after
from plexus_proxy.db.statements import Statement, StatementSet, Values
from plexus_proxy.resources import MIGRATIONS, QUERIES

T = TypeVar("T")

_BUSY_TIMEOUT_MS = 5000
_PING_S = 1.0
_LISTEN_S = 0.25
_MAX_PARAMETERS = 5000
"""Of one statement; SQLite allows 32,766."""

# Primary result codes that say "not now" or "not this disk"; the others are mistakes of ours.
_OUT_OF_REACH = {
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_INTERRUPT,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PROTOCOL,
    sqlite3.SQLITE_NOTADB,
}


class SqliteDatabase:
    """A database in one file, or in memory when `path` is None."""

    dialect = "sqlite"

    def __init__(
        self, path: Path | None, *, migrations: Path = MIGRATIONS, queries: Path = QUERIES
    ) -> None:
        self._statements = StatementSet(queries, "?")
        self._migrations = migrate.read_migrations(migrations, "sqlite")
        self._path = path
        self._writing = asyncio.Lock()
        self._writer = _Connection(self._open_writer)
        self._reader = _Connection(lambda: _open(path)) if path else self._writer
        self._reading = self._writing if path is None else nullcontext()
        self._listeners: list[Callable[[str], None]] = []
        """Of a database in memory, which no other process can have open."""

    def _open_writer(self) -> sqlite3.Connection:
        if self._path is not None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
        connection = _open(self._path)
        try:
            apply(connection, self._migrations)
        except BaseException:
            connection.close()
            raise
        return connection

    @property
    def opened(self) -> bool:
        return self._writer.open

    async def fetch_all(self, query: Query, **params: Any) -> Sequence[Row]:
        return await self._read(_rows, query, params)

    async def fetch_one(self, query: Query, **params: Any) -> Row | None:
        return await self._read(_row, query, params)

    async def _read(
        self, fetch: Callable[[sqlite3.Connection, Statement, Row], T], query: Query, params: Row
    ) -> T:
        statement = self._statements.get(query)
        await self.open()
        async with self._reading:
            return await self._reader.run(lambda connection: fetch(connection, statement, params))

    async def execute(self, query: Query, **params: Any) -> int:
        async with self.transaction() as transaction:
            return await transaction.execute(query, **params)

    async def execute_many(self, query: Query, rows: Sequence[Row]) -> None:
        async with self.transaction() as transaction:
            await transaction.execute_many(query, rows)

    def transaction(self) -> AbstractAsyncContextManager[Statements]:
        return self._transaction()

    @asynccontextmanager
    async def _transaction(self) -> AsyncGenerator[Statements]:
        async with self._writing:
            try:
                await self._writer.run(_begin)
                yield _Transaction(self._writer, self._statements)
                await self._writer.run(_commit)
            except BaseException:
                await self._writer.run_regardless(_roll_back)
                raise

    async def notify(self, notices: Sequence[str]) -> None:
        if self._path is None:
            for notice, heard in product(notices, tuple(self._listeners)):
                heard(notice)
            return
        now_ms = time.time_ns() // 1_000_000
        async with self._writing:
            await self._writer.run(lambda connection: add_notices(connection, notices, now_ms))

    async def listen(self, heard: Callable[[str], None], listening: Callable[[], None]) -> NoReturn:
        await self.open()
        if self._path is None:
            self._listeners.append(heard)
            listening()
            try:
                await asyncio.Event().wait()
            finally:
                self._listeners.remove(heard)
        version, last = None, None
        while True:
            moved = await self._reader.run(data_version)
            if moved != version:
                since = last
                found = await self._reader.run(lambda c, since=since: notices_after(c, since))
                version, last = moved, found.last
                if found.missed:
                    listening()
                for notice in found.notices:
                    heard(notice)
            await asyncio.sleep(_LISTEN_S)

    async def open(self) -> None:
        if not self.opened:
            await self._writer.run(_nothing)

    async def ping(self) -> None:
        try:
            async with asyncio.timeout(_PING_S):
                await self._writer.run(_probe)
        except TimeoutError:
            raise Unavailable("The database did not answer within a second.") from None

    async def close(self) -> None:
        for connection in {self._reader, self._writer}:
            await connection.close()


class _Transaction:
    """Statements on the writing connection, between BEGIN and COMMIT."""

    def __init__(self, writer: "_Connection", statements: StatementSet) -> None:
        self._writer = writer
        self._statements = statements

    async def fetch_all(self, query: Query, **params: Any) -> Sequence[Row]:
        statement = self._statements.get(query)
        return await self._writer.run(lambda connection: _rows(connection, statement, params))

    async def fetch_one(self, query: Query, **params: Any) -> Row | None:
        statement = self._statements.get(query)
        return await self._writer.run(lambda connection: _row(connection, statement, params))

    async def execute(self, query: Query, **params: Any) -> int:
        statement = self._statements.get(query)
        values = statement.values(params)
        return await self._writer.run(
            lambda connection: connection.execute(statement.sql, values).rowcount
        )

    async def execute_many(self, query: Query, rows: Sequence[Row]) -> None:
        statement = self._statements.get(query)
        values = [statement.values(row) for row in rows]
        await self._writer.run(lambda connection: _execute_many(connection, statement.sql, values))


class _Connection:
    """A connection and the one thread that uses it; opened by the first piece of work."""

    def __init__(self, opener: Callable[[], sqlite3.Connection]) -> None:
        self._opener = opener
        self._connection: sqlite3.Connection | None = None
        self._closed = False
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="sqlite")

    @property
    def open(self) -> bool:
        return self._connection is not None

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """`work(connection)` on the thread. Raises Unavailable, Conflict, Rejected."""
        if self._closed:
            raise Unavailable("The database is closed.")
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._call, work)

    async def run_regardless(self, work: Callable[[sqlite3.Connection], None]) -> None:
        """Like `run`, but a cancelled caller does not stop it, and a lost connection, which has
        rolled back by itself, is no failure."""

        async def attempt() -> None:
            with suppress(Unavailable):
                await self.run(work)

        await asyncio.shield(attempt())

    def _call(self, work: Callable[[sqlite3.Connection], T]) -> T:
        try:
            if self._connection is None:
                self._connection = self._opener()
            return work(self._connection)
        except sqlite3.IntegrityError as error:
            raise Conflict(str(error)) from error
        except (OverflowError, UnicodeEncodeError) as error:
            raise Rejected(f"SQLite cannot store a value: {error.__class__.__name__}") from error
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorcode", None)
            if code is not None and code & 0xFF in _OUT_OF_REACH:
                raise Unavailable(f"SQLite: {error}") from error
            raise
        except OSError as error:  # the folder cannot be made
            raise Unavailable(f"SQLite: {error}") from error

    async def close(self) -> None:
        def finish() -> None:
            if self._connection is not None:
                self._connection.close()

        if not self._closed:
            self._closed = True
            await asyncio.get_running_loop().run_in_executor(self._thread, finish)
            self._thread.shutdown(wait=False)


def _open(path: Path | None) -> sqlite3.Connection:
    connection = sqlite3.connect(
        ":memory:" if path is None else path,
        timeout=_BUSY_TIMEOUT_MS / 1000,
        isolation_level=None,
        check_same_thread=False,
    )
    try:
        connection.execute("PRAGMA foreign_keys = ON")
        _use_wal(connection)
        # A commit is on the disk when it returns; rows come in batches, so this is two a second.
        connection.execute("PRAGMA synchronous = FULL")
    except BaseException:
        connection.close()
        raise
    return connection


def _use_wal(connection: sqlite3.Connection) -> None:
    """Changing the journal mode does not honour the busy time-out (SQLite docs, "WAL"): wait."""
    deadline = time.monotonic() + _BUSY_TIMEOUT_MS / 1000
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def apply(connection: sqlite3.Connection, migrations: Sequence[migrate.Migration]) -> None:
    """Run what is pending, each in a transaction of its own. Raises SchemaTooNew."""
    while True:
        connection.execute("BEGIN IMMEDIATE")
        try:
            connection.execute(migrate.CREATE_TABLE)
            applied = {version for (version,) in connection.execute(migrate.SELECT_APPLIED)}
            waiting = migrate.pending(migrations, applied)
            if waiting:
                _run_script(connection, waiting[0].sql)
                connection.execute(
                    "INSERT INTO schema_migrations VALUES (?, ?, ?)",
                    (waiting[0].version, waiting[0].name, int(time.time() * 1000)),
                )
            connection.execute("COMMIT")
        except BaseException:
            _roll_back(connection)
            raise
        if len(waiting) <= 1:
            return


def _run_script(connection: sqlite3.Connection, script: str) -> None:
    """Statement by statement: executescript would commit the transaction we are in."""
    for statement in _split(script):
        connection.execute(statement)


def _split(script: str) -> Iterator[str]:
    buffered = ""
    for line in script.splitlines(keepends=True):
        buffered += line
        if sqlite3.complete_statement(buffered):
            yield buffered
            buffered = ""
    if buffered.strip():
        yield buffered


def _rows(connection: sqlite3.Connection, statement: Statement, params: Row) -> list[Row]:
    cursor = connection.execute(statement.sql, statement.values(params))
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, values, strict=True)) for values in cursor]


def _row(connection: sqlite3.Connection, statement: Statement, params: Row) -> Row | None:
    rows = _rows(connection, statement, params)
    return rows[0] if rows else None


_PLAIN_INSERT = re.compile(r"(?P<head>INSERT INTO [^;]*?\bVALUES\s*)\((?P<marks>[?\d,\s]+)\)")


def _execute_many(connection: sqlite3.Connection, sql: str, rows: Sequence[Values]) -> None:
    """Once per row; a plain INSERT takes many rows at a time.

    Each step of a statement gives up the interpreter lock, and to get it back from a busy event
    loop takes longer than to insert a row.
    """
    plain = _PLAIN_INSERT.fullmatch(sql.strip())
    at_once = _MAX_PARAMETERS // len(rows[0]) if rows else 0
    if plain is None or plain["marks"].count("?") != len(rows[0]):
        connection.executemany(sql, rows)
        return
    for start in range(0, len(rows), at_once):
        piece = rows[start : start + at_once]
        group = f"({', '.join('?' * len(piece[0]))})"
        many = plain["head"] + ", ".join([group] * len(piece))
        connection.execute(many, tuple(chain.from_iterable(piece)))


def _begin(connection: sqlite3.Connection) -> None:
    connection.execute("BEGIN IMMEDIATE")


def _commit(connection: sqlite3.Connection) -> None:
    connection.execute("COMMIT")


def _roll_back(connection: sqlite3.Connection) -> None:
    if connection.in_transaction:
        connection.execute("ROLLBACK")


def _probe(connection: sqlite3.Connection) -> None:
    connection.execute(migrate.SELECT_APPLIED).fetchone()


def _nothing(connection: sqlite3.Connection) -> None:
    """Opening the connection was all there was to do."""
