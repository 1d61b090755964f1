"""SQLite shared by several processes."""

import asyncio
import subprocess
import sys
from pathlib import Path

from plexus_proxy.db.open import open_database
from plexus_proxy.usage.store import UsageFilters, UsageStore

WRITE = """
import asyncio, sys
from plexus_proxy.db.open import open_database
from plexus_proxy.usage.store import UsageStore
from support.rows import make_row

async def main():
    async with open_database(sys.argv[1]) as database:
        store = UsageStore(database)
        for _ in range(60):
            await store.insert_rows([make_row() for _ in range(10)], 0)
            await store.delete_row("nothing")

asyncio.run(main())
"""


def test_processes_that_write_at_once_never_find_it_locked(tmp_path: Path) -> None:
    url = f"sqlite://{tmp_path / 'plexus.db'}"
    tests = str(Path(__file__).parents[1])
    command = [sys.executable, "-c", WRITE, url]
    writers = [
        subprocess.Popen(
            command, stderr=subprocess.PIPE, text=True, env={"PYTHONPATH": f"{tests}:{Path.cwd()}"}
        )
        for _ in range(3)
    ]
    for writer in writers:
        _, errors = writer.communicate(timeout=60)
        assert (writer.returncode, errors) == (0, "")
    assert asyncio.run(count(url)) == 3 * 60 * 10


async def count(url: str) -> int:
    async with open_database(url) as database:
        return await UsageStore(database).count(UsageFilters())
