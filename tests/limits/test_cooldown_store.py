"""Cooldowns of several processes; each has a database and a bus of its own."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from support.databases import Outage
from support.waiting import until

from plexus_proxy import tasks
from plexus_proxy.cluster.bus import Bus
from plexus_proxy.config.model import CooldownPolicy
from plexus_proxy.db.database import Database
from plexus_proxy.db.open import open_database
from plexus_proxy.limits.cooldown_store import SharedCooldowns
from plexus_proxy.limits.cooldowns import Cooldown, Cooldowns
from plexus_proxy.limits.cooling import Cooling

KEY = "p", "a/b:c"
POLICY = CooldownPolicy()


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def fail(cooldowns: Cooldowns, seconds: float | None = None, *, hard: bool = False) -> Cooldown:
    told = Cooling(
        cause="server", hard=hard, account_wide=False, seconds=seconds, message="it's 5é"
    )
    at_ms = now_ms()
    entry = cooldowns.failed(*KEY, told, POLICY, started_ms=at_ms, now_ms=at_ms)
    assert entry is not None
    return entry


@asynccontextmanager
async def at_work(database: Database, name: str) -> AsyncIterator[Cooldowns]:
    """A process as it runs."""
    cooldowns, bus = Cooldowns(), Bus(database, name)
    shared = SharedCooldowns(cooldowns, database, bus, now_ms)
    async with (
        tasks.running(bus.keep_sending(), name="send"),
        tasks.running(bus.keep_listening(), name="listen"),
        tasks.running(shared.keep_equal(), name="share"),
    ):
        yield cooldowns


@asynccontextmanager
async def processes(url: str) -> AsyncIterator[tuple[Cooldowns, Cooldowns]]:
    async with AsyncExitStack() as stack:
        both: list[Cooldowns] = []
        for name in ("a", "b"):
            database = await stack.enter_async_context(open_database(url))
            both.append(await stack.enter_async_context(at_work(database, name)))
        # An entry that has gone both ways: both hear each other.
        both[0].take_out("warm", "a", until_ms=1, now_ms=0)
        both[1].take_out("warm", "b", until_ms=1, now_ms=0)
        await until(lambda: all(len(each.keys()) == 2 for each in both), 8)
        both[0].clear()
        await until(lambda: both[1].idle, 8)
        yield both[0], both[1]


def by_hand(database: Database, name: str) -> tuple[Cooldowns, SharedCooldowns]:
    """A process that shares only when told to."""
    cooldowns = Cooldowns()
    return cooldowns, SharedCooldowns(cooldowns, database, Bus(database, name), now_ms)


async def known(database: Database) -> Cooldowns:
    """What a process that starts now knows."""
    cooldowns, shared = by_hand(database, "new")
    assert await shared.round()
    return cooldowns


async def test_what_is_made_and_ended_in_one_process_holds_in_the_other(database_url: str) -> None:
    async with processes(database_url) as (a, b):
        entry = fail(a, hard=True)
        await until(lambda: b.entry(KEY) == entry, 1)
        assert not b.admit(*KEY, now_ms())
        again = fail(b)
        assert again.failures == 2
        await until(lambda: a.entry(KEY) == again, 1)
        a.clear("p", KEY[1])
        await until(lambda: b.entry(KEY) is None, 1)
        fail(a)
        await until(lambda: b.entry(KEY) is not None, 1)
        b.succeeded(*KEY, started_ms=now_ms())
        await until(lambda: a.entry(KEY) is None, 1)


async def test_a_restart_keeps_entries_and_their_counts(database: Database) -> None:
    cooldowns, shared = by_hand(database, "a")
    fail(cooldowns)
    entry = fail(cooldowns)
    assert await shared.round()
    assert (await known(database)).entry(KEY) == entry
    cooldowns.clear()
    assert await shared.round()
    assert (await known(database)).idle


async def test_no_process_shortens_what_another_wrote(database: Database) -> None:
    (a, of_a), (b, of_b) = by_hand(database, "a"), by_hand(database, "b")
    assert await of_b.round()
    longer = fail(a, 600, hard=True)
    assert await of_a.round()
    fail(b, 5)
    assert await of_b.round()
    entry = (await known(database)).entry(KEY)
    assert entry is not None
    assert entry.until_ms == longer.until_ms
    assert entry.hard_until_ms == longer.until_ms


async def test_a_failure_soon_after_the_end_leaves_the_old_one_behind(database: Database) -> None:
    a, of_a = by_hand(database, "a")
    fail(a, 600, hard=True)
    assert await of_a.round()
    a.clear()
    entry = fail(a, 5)
    assert await of_a.round()
    assert (await known(database)).entry(KEY) == entry == a.entry(KEY)


async def test_a_failure_that_is_newer_than_the_end_is_kept(database: Database) -> None:
    (a, of_a), (b, of_b) = by_hand(database, "a"), by_hand(database, "b")
    fail(a)
    assert await of_a.round()
    assert await of_b.round()
    b.succeeded(*KEY, started_ms=now_ms())
    at_ms = now_ms() + 10
    told = Cooling(cause="server", hard=False, account_wide=False)
    assert a.failed(*KEY, told, POLICY, started_ms=at_ms, now_ms=at_ms) is not None
    assert await of_a.round()
    assert await of_b.round()
    entry = (await known(database)).entry(KEY)
    assert entry is not None
    assert entry.failures == 2


async def test_what_was_over_long_ago_is_forgotten(database: Database) -> None:
    cooldowns, shared = by_hand(database, "a")
    cooldowns.take_out("p", "old", until_ms=1, now_ms=0)
    cooldowns.take_out("p", "new", until_ms=now_ms(), now_ms=0)
    assert await shared.round()
    await shared.clean()
    assert await shared.round()
    assert cooldowns.keys() == [("p", "new")]
    assert (await known(database)).keys() == [("p", "new")]


async def test_nothing_is_lost_while_the_database_is_away(outage: Outage) -> None:
    async with open_database(outage.url) as database:
        cooldowns, shared = by_hand(database, "a")
        entry = fail(cooldowns)
        cooldowns.take_out("gone", "", until_ms=entry.until_ms, now_ms=0)
        assert not await shared.round()
        cooldowns.clear("gone")
        assert cooldowns.entry(KEY) == entry
        await outage.end()
        async with asyncio.timeout(10):
            while not await shared.round():  # noqa: ASYNC110 - it is what is waited for
                await asyncio.sleep(0.01)
        assert cooldowns.entry(KEY) == entry
        assert (await known(database)).keys() == [KEY]


async def test_a_burst_is_shared_within_a_second_too(database_url: str) -> None:
    async with processes(database_url) as (a, b):
        for number in range(400):
            a.take_out(f"p{number}", "m", until_ms=now_ms() + 60_000, now_ms=now_ms())
        await until(lambda: len(b.keys()) == 400, 1)
        b.clear()
        await until(lambda: a.idle, 1)


async def test_one_that_cannot_be_stored_takes_no_other_with_it(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """No text in PostgreSQL holds a NUL."""
    cooldowns, shared = by_hand(database, "a")
    for provider in ("a", "p\0", "z"):
        cooldowns.take_out(provider, "m", until_ms=now_ms() + 60_000, now_ms=now_ms())
    assert await shared.round()
    stored = (await known(database)).keys()
    assert {("a", "m"), ("z", "m")} <= set(stored)
    if len(stored) == 2:
        assert "cannot be shared" in caplog.text
