"""Numbers that grow with each change."""

import asyncio

from support.waiting import until

from plexus_proxy import tasks
from plexus_proxy.cluster.bus import Bus
from plexus_proxy.cluster.revisions import TOPIC, Revisions
from plexus_proxy.db.database import Database
from plexus_proxy.db.open import open_database


def revisions_of(database: Database) -> Revisions:
    return Revisions(database, Bus(database, "a"))


async def test_a_name_begins_at_nought_and_counts_for_itself(database: Database) -> None:
    revisions = revisions_of(database)
    assert await revisions.revision("x") == 0
    assert [await revisions.bump("x"), await revisions.bump("x")] == [1, 2]
    assert await revisions.revision("x") == 2
    assert await revisions.revision("y") == 0


async def test_no_change_of_several_processes_is_lost(database_url: str) -> None:
    async with open_database(database_url) as one, open_database(database_url) as other:
        both = [revisions_of(one), revisions_of(other)]
        bumps = [both[number % 2].bump("x") for number in range(30)]
        assert sorted(await asyncio.gather(*bumps)) == list(range(1, 31))


async def test_others_are_told_what_has_changed(database_url: str) -> None:
    async with open_database(database_url) as one, open_database(database_url) as other:
        speaking, hearing = Bus(one, "a"), Bus(other, "b")
        heard: list[str] = []
        async with tasks.running(hearing.keep_listening(), name="listen"):
            await hearing.listening.wait()
            hearing.subscribe(TOPIC, heard.append)
            await Revisions(one, speaking).bump("x")
            await speaking.send()
            await until(lambda: heard == ["x"], 1)
