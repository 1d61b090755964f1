"""A table that has been filled for a year: reading, deleting and writing do not get in each other's
way."""

import asyncio

import pytest
from support.rows import STARTED_AT_MS, make_row

from plexus_proxy.db.database import Database
from plexus_proxy.usage.store import UsageFilters, UsageStore

pytestmark = pytest.mark.long

ROWS = 200_000
BATCH = 1000
STEP_MS = 150
END_MS = STARTED_AT_MS + ROWS * STEP_MS


@pytest.fixture
async def store(database: Database) -> UsageStore:
    store = UsageStore(database)
    for start in range(0, ROWS, BATCH):
        rows = [
            make_row(
                started_at_ms=STARTED_AT_MS + number * STEP_MS,
                key_name=f"key{number % 7}",
                provider=f"vendor{number % 3}",
            )
            for number in range(start, start + BATCH)
        ]
        await store.insert_rows(rows, END_MS)
    return store


async def test_pages_and_counts_are_exact(store: UsageStore) -> None:
    newest = await store.fetch_page(UsageFilters(), 3, 0)
    assert [END_MS - row.started_at_ms for row in newest] == [150, 300, 450]
    deep = await store.fetch_page(UsageFilters(key_name="key3"), 1, 20_000)
    assert [row.key_name for row in deep] == ["key3"]
    assert await store.count(UsageFilters(key_name="key6")) == ROWS // 7
    assert await store.count(UsageFilters(provider_like="DOR1")) == (ROWS + 1) // 3


async def test_rows_are_written_while_old_ones_are_deleted(store: UsageStore) -> None:
    """Deletion goes in bites, so a batch never waits for all of it."""
    deleting = asyncio.ensure_future(store.delete_before(END_MS))
    fresh = 0
    while not deleting.done():
        async with asyncio.timeout(10):
            await store.insert_rows([make_row(started_at_ms=END_MS + fresh)], END_MS)
        fresh += 1
    assert await deleting == ROWS
    assert fresh > 10
    assert await store.count(UsageFilters()) == fresh
