"""Who shares the database."""

from typing import Any

import pytest
from support.databases import Outage

from plexus_proxy.cluster.members import TTL_MS, Member, Members
from plexus_proxy.db.database import Database
from plexus_proxy.db.open import open_database


class Clock:
    now_ms = 1_000_000

    def __call__(self) -> int:
        return self.now_ms


@pytest.fixture
def clock() -> Clock:
    return Clock()


def member(database: Database, clock: Clock, id: str, **more: Any) -> Members:
    return Members(database, clock, id=id, host="h", pid=7, **more)


async def test_members_come_and_go(database: Database, clock: Clock) -> None:
    a, b = member(database, clock, "a"), member(database, clock, "b")
    assert a.count == 1
    await a.beat()
    assert a.count == 1
    await b.beat()
    await a.beat()
    assert (a.count, b.count) == (2, 2)
    await b.leave()
    await a.beat()
    assert a.count == 1


async def test_a_member_that_dies_is_not_counted_for_long(database: Database, clock: Clock) -> None:
    a, b = member(database, clock, "a"), member(database, clock, "b")
    await b.beat()
    clock.now_ms += TTL_MS - 1
    await a.beat()
    assert a.count == 2
    clock.now_ms += 1
    await a.beat()
    assert a.count == 1


async def test_rows_of_the_dead_are_deleted_in_the_end(database: Database, clock: Clock) -> None:
    await member(database, clock, "b").beat()
    clock.now_ms += TTL_MS + 60_001
    await member(database, clock, "a").beat()
    assert [row["id"] for row in await database.fetch_all("members_all")] == ["a"]


async def test_a_member_says_who_it_is_and_what_it_runs_on(
    database: Database, clock: Clock
) -> None:
    a, b = member(database, clock, "a"), member(database, clock, "b")
    a.note_config("one")
    clock.now_ms += 5
    b.note_config("other")
    await b.beat()
    await a.beat()
    assert a.all() == [
        Member("a", "h", 7, 1_000_000, 1_000_005 + TTL_MS, "one"),
        Member("b", "h", 7, 1_000_000, 1_000_005 + TTL_MS, "other"),
    ]
    assert a.configs() == 2
    b.note_config("one")
    await b.beat()
    await a.beat()
    assert a.configs() == 1


@pytest.mark.parametrize("gap_ms", [TTL_MS, 10 * 60_000])
async def test_who_comes_back_first_from_an_outage_waits_for_the_others(
    database: Database, clock: Clock, gap_ms: int
) -> None:
    a, b, c = (member(database, clock, id) for id in "abc")
    for each in (a, b, c, a):
        await each.beat()
    clock.now_ms += gap_ms  # in which no beat of any came through
    await a.beat()
    assert a.count == 3
    clock.now_ms += 2000
    await b.beat()
    await a.beat()
    assert (a.count, b.count) == (3, 3)
    for _ in range(5):  # c does not come back
        clock.now_ms += 2000
        await b.beat()
        await a.beat()
    assert (a.count, b.count) == (2, 2)


@pytest.mark.usefixtures("postgres_server")  # `outage` cannot start it: it has a loop running
async def test_without_the_database_it_is_alone_until_the_database_is_there(
    outage: Outage, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_database(outage.url) as database:
        a, b = member(database, clock, "a"), member(database, clock, "b")
        caplog.clear()
        for _ in range(3):
            await a.beat()
        assert (a.count, a.configs(), a.all()) == (1, 1, [])
        assert len(caplog.records) == 1
        await outage.end()
        await b.beat()
        await a.beat()
        assert a.count == 2


async def test_the_count_stays_when_the_database_goes_away(database_url: str, clock: Clock) -> None:
    async with open_database(database_url) as database:
        a, b = member(database, clock, "a"), member(database, clock, "b")
        await b.beat()
        await a.beat()
    clock.now_ms += TTL_MS
    await a.beat()
    assert a.count == 2
