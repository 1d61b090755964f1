"""Taking part and leaving, whatever the database does."""

import asyncio
import sqlite3
from pathlib import Path

import pytest
from support.databases import Outage, PostgresOutage
from support.waiting import until

from plexus_proxy.cluster.cluster import Cluster
from plexus_proxy.db.database import Database
from plexus_proxy.db.open import open_database


def cluster_on(database: Database) -> Cluster:
    return Cluster(database, lambda: "digest")


async def test_processes_see_each_other_come_and_go(database_url: str) -> None:
    async with open_database(database_url) as one, open_database(database_url) as other:
        first, second = cluster_on(one), cluster_on(other)
        assert first.members.id != second.members.id
        async with first.running():
            await until(first.members.all)
            assert first.members.count == 1
            async with second.running():
                await until(lambda: first.members.count == 2, 4)
                ids = {member.id for member in first.members.all()}
                assert ids == {first.members.id, second.members.id}
            await until(lambda: first.members.count == 1, 4)


async def test_what_is_published_last_is_still_sent(database_url: str) -> None:
    async with open_database(database_url) as one, open_database(database_url) as other:
        heard: list[str] = []
        hearing = cluster_on(other)
        async with hearing.running():
            await hearing.bus.listening.wait()
            hearing.bus.subscribe("t", heard.append)
            speaking = cluster_on(one)
            async with speaking.running():
                speaking.bus.publish("t", "farewell")
            await until(lambda: heard == ["farewell"], 1)


@pytest.mark.usefixtures("postgres_server")  # `outage` cannot start it: it has a loop running
async def test_it_takes_part_as_soon_as_the_database_is_there(outage: Outage) -> None:
    async with open_database(outage.url) as one, open_database(outage.url) as other:
        first, second = cluster_on(one), cluster_on(other)
        async with first.running(), second.running():
            await asyncio.sleep(0.1)
            assert first.members.count == 1
            await outage.end()
            await until(lambda: first.members.count == second.members.count == 2, 15)


async def test_a_locked_file_does_not_hold_up_its_stop(tmp_path: Path) -> None:
    path = tmp_path / "plexus.db"
    loop = asyncio.get_running_loop()
    async with open_database(f"sqlite://{path}") as database:
        cluster = cluster_on(database)
        blocker = sqlite3.connect(path, isolation_level=None)
        async with cluster.running():
            await until(cluster.members.all)
            blocker.execute("BEGIN IMMEDIATE")
            cluster.bus.publish("t")
            await asyncio.sleep(0.1)
            stopped = loop.time()
        assert loop.time() - stopped < 1
        blocker.execute("ROLLBACK")
        blocker.close()


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
async def test_a_silent_network_does_not_hold_up_its_stop(database_url: str) -> None:
    loop = asyncio.get_running_loop()
    async with PostgresOutage(database_url) as network:
        await network.end()
        async with open_database(network.url) as database:
            cluster = cluster_on(database)
            async with cluster.running():
                await until(lambda: cluster.members.all() and cluster.bus.listening.is_set())
                network.hang()
                cluster.bus.publish("t")
                await asyncio.sleep(0.1)
                stopped = loop.time()
            assert loop.time() - stopped < 1
            await network.begin()
