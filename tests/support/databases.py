"""Fixtures that run a test once per dialect, on a fresh database each time."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Protocol
from urllib.parse import parse_qs, urlsplit, urlunsplit

import pytest
from support.postgres import PostgresServer

from plexus_proxy.db.database import Database
from plexus_proxy.db.open import open_database

DIALECTS = ("sqlite", "postgres")


@contextlib.contextmanager
def _fresh(request: pytest.FixtureRequest, folder: Path, *, migrated: bool) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite://{folder / 'data' / 'plexus.db'}"
        return
    server: PostgresServer = request.getfixturevalue("postgres_server")
    name = server.create(migrated=migrated)
    yield server.url(name)
    server.drop(name)


@pytest.fixture(params=DIALECTS)
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database nobody has open; migrated already where that is cheaper."""
    with _fresh(request, tmp_path, migrated=True) as url:
        yield url


@pytest.fixture(params=DIALECTS)
def empty_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database without any table."""
    with _fresh(request, tmp_path, migrated=False) as url:
        yield url


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with open_database(database_url) as opened:
        yield opened


class Outage(Protocol):
    """A database that is away until `end` is called."""

    url: str

    async def end(self) -> None: ...


class SqliteOutage:
    """A file stands where the folder of the database should be."""

    def __init__(self, folder: Path) -> None:
        self._obstacle = folder / "volume"
        self._obstacle.write_text("not mounted")
        self.url = f"sqlite://{self._obstacle / 'plexus.db'}"

    async def end(self) -> None:
        self._obstacle.unlink()


class PostgresOutage:
    """A network path to a server that drops every connection until it is mended."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._folder = parse_qs(parts.query).get("host", [""])[0]
        self._host, self._port = parts.hostname or "127.0.0.1", parts.port or 5432
        self._parts = parts
        self._open = False
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._wires: set[asyncio.StreamWriter] = set()
        self._relays: set[asyncio.Future[None]] = set()
        self.url = ""

    async def __aenter__(self) -> "PostgresOutage":
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        user = f"{self._parts.username}:{self._parts.password or 'none'}"
        self.url = urlunsplit(
            self._parts._replace(netloc=f"{user}@127.0.0.1:{port}", query="sslmode=disable")
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await self.begin()

    async def begin(self) -> None:
        """Cut every connection and refuse new ones."""
        self._open = False
        self._flowing.set()
        for wire in list(self._wires):
            wire.transport.abort()
        await asyncio.gather(*self._relays)

    async def end(self) -> None:
        self._open = True

    def hang(self) -> None:
        """Keep every connection and let nothing through any more."""
        self._flowing.clear()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        relay = asyncio.ensure_future(self._relay(reader, writer))
        self._relays.add(relay)
        relay.add_done_callback(self._relays.discard)

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self._open:
            writer.transport.abort()
            return
        if self._folder:
            connected = asyncio.open_unix_connection(f"{self._folder}/.s.PGSQL.5432")
        else:
            connected = asyncio.open_connection(self._host, self._port)
        far_reader, far_writer = await connected
        wires = {writer, far_writer}
        self._wires |= wires
        try:
            await asyncio.gather(self._pipe(reader, far_writer), self._pipe(far_reader, writer))
        finally:
            for wire in wires:
                wire.transport.abort()
            self._wires -= wires

    async def _pipe(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                await self._flowing.wait()
                writer.write(data)
                await writer.drain()
        writer.transport.abort()


@pytest.fixture(params=DIALECTS)
async def outage(
    request: pytest.FixtureRequest, tmp_path: Path
) -> AsyncIterator[SqliteOutage | PostgresOutage]:
    """A database that is away at first."""
    if request.param == "sqlite":
        yield SqliteOutage(tmp_path)
        return
    with _fresh(request, tmp_path, migrated=True) as url:
        async with PostgresOutage(url) as lost:
            yield lost
