"""Messages between processes that share a database; a Bus with a database of its own is one."""

import asyncio
import logging
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path

import pytest
from support.databases import Outage, PostgresOutage
from support.waiting import until

from plexus_proxy import tasks
from plexus_proxy.cluster.bus import MAX_IDS_BYTES, Bus
from plexus_proxy.db.database import Database
from plexus_proxy.db.open import open_database


class Process:
    """A bus at work, and what it has heard of topic `t`."""

    def __init__(self, bus: Bus) -> None:
        self.bus = bus
        self.heard: list[str] = []
        bus.subscribe("t", self.heard.append)


@asynccontextmanager
async def at_work(database: Database, name: str) -> AsyncIterator[Process]:
    process = Process(Bus(database, name))
    async with (
        tasks.running(process.bus.keep_sending(), name="send"),
        tasks.running(process.bus.keep_listening(), name="listen"),
    ):
        yield process


@asynccontextmanager
async def processes(url: str) -> AsyncIterator[tuple[Process, Process]]:
    """Two that listen, and have forgotten that listening began."""
    async with AsyncExitStack() as stack:
        both: list[Process] = []
        for name in ("a", "b"):
            database = await stack.enter_async_context(open_database(url))
            both.append(await stack.enter_async_context(at_work(database, name)))
        for process in both:
            await asyncio.wait_for(process.bus.listening.wait(), 5)
            assert process.heard == [""]
            process.heard.clear()
        yield both[0], both[1]


async def test_another_process_hears_within_a_second(database_url: str) -> None:
    async with processes(database_url) as (a, b):
        for ids in ("x y", "", "ü\n"):
            a.bus.publish("t", ids)
            await until(lambda: b.heard, 1)
            assert b.heard == [ids]
            b.heard.clear()
        b.bus.publish("t", "back")
        await until(lambda: a.heard, 1)
        assert a.heard == ["back"]


async def test_a_process_does_not_hear_itself_nor_other_topics(database_url: str) -> None:
    async with processes(database_url) as (a, b):
        a.bus.publish("other", "1")
        a.bus.publish("t", "2")
        await until(lambda: b.heard, 1)
        await asyncio.sleep(0.3)  # longer than it takes to hear oneself
        assert (a.heard, b.heard) == ([], ["2"])


async def test_equal_messages_that_wait_are_one(database_url: str) -> None:
    async with processes(database_url) as (a, b):
        for ids in ("1", "2", "1", "2", "1"):
            a.bus.publish("t", ids)
        await until(lambda: len(b.heard) == 2, 1)
        for ids in ("3", "", "4"):
            a.bus.publish("t", ids)
        a.bus.publish("t2", "3")
        await until(lambda: len(b.heard) > 2, 1)
        assert b.heard == ["1", "2", ""]


@pytest.mark.parametrize("ids", ["x" * 100_000, "é" * (MAX_IDS_BYTES - 1), "a\0b", "\ud800"])
async def test_ids_that_cannot_travel_mean_anything(database_url: str, ids: str) -> None:
    async with processes(database_url) as (a, b):
        a.bus.publish("t", ids)
        await until(lambda: b.heard, 1)
        assert b.heard == [""]


async def test_the_longest_ids_travel(database_url: str) -> None:
    async with processes(database_url) as (a, b):
        a.bus.publish("t", "x" * MAX_IDS_BYTES)
        await until(lambda: b.heard, 1)
        assert b.heard == ["x" * MAX_IDS_BYTES]


async def test_a_flood_is_bounded_and_nothing_of_it_is_lost(database_url: str) -> None:
    async with processes(database_url) as (a, b):
        for number in range(5000):
            a.bus.publish("t", str(number))
        await until(lambda: "4999" in b.heard or "" in b.heard, 2)
        assert "" in b.heard
        assert len(b.heard) < 1500


async def test_a_subscriber_that_fails_does_not_keep_others_from_hearing(
    database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with processes(database_url) as (a, b):
        later: list[str] = []

        def fail(ids: str) -> None:
            raise ZeroDivisionError

        b.bus.subscribe("u", fail)
        b.bus.subscribe("u", later.append)
        a.bus.publish("u", "1")
        a.bus.publish("u", "2")
        await until(lambda: later == ["1", "2"], 1)
        assert caplog.text.count("was not understood") == 2


async def test_buses_of_one_database_in_memory_hear_each_other() -> None:
    async with (
        open_database("sqlite://:memory:") as database,
        at_work(database, "a") as a,
        at_work(database, "b") as b,
    ):
        await b.bus.listening.wait()
        b.heard.clear()
        a.bus.publish("t", "1")
        await until(lambda: b.heard, 1)
        assert b.heard == ["1"]


@contextmanager
def connection_to(path: Path) -> Iterator[sqlite3.Connection]:
    """As another program has it, which says itself when it commits."""
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        yield connection
    finally:
        connection.close()


# ---- Gaps


@pytest.mark.usefixtures("postgres_server")  # `outage` cannot start it: it has a loop running
async def test_after_an_outage_everything_may_have_happened(
    outage: Outage, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "plexus_proxy.cluster")
    async with (
        open_database(outage.url) as one,
        open_database(outage.url) as other,
        at_work(one, "a") as a,
        at_work(other, "b") as b,
    ):
        a.bus.publish("t", "1")
        await asyncio.sleep(1)
        assert not b.bus.listening.is_set()
        await outage.end()
        await until(lambda: "" in a.heard and "" in b.heard, 10)
        a.heard.clear()
        b.bus.publish("t", "2")
        await until(lambda: "2" in a.heard or "" in a.heard, 5)
    for level, count in (("WARNING", 2), ("INFO", 2)):  # once each, and that it is over
        heard = [r for r in caplog.records if r.levelname == level and "heard" in r.getMessage()]
        assert len(heard) == count


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
async def test_a_listener_that_lost_its_connection_is_told_of_the_gap(
    database_url: str,
) -> None:
    async with PostgresOutage(database_url) as network:
        await network.end()
        async with (
            open_database(database_url) as near,
            open_database(network.url) as far,
            at_work(near, "a") as a,
            at_work(far, "b") as b,
        ):
            await until(lambda: a.bus.listening.is_set() and b.bus.listening.is_set())
            await network.begin()
            await until(lambda: not b.bus.listening.is_set())
            for process in (a, b):
                process.heard.clear()
            a.bus.publish("t", "missed")
            b.bus.publish("t", "said during the outage")
            await asyncio.sleep(0.3)
            assert (a.heard, b.heard) == ([], [])
            await network.end()
            await until(lambda: a.heard and b.heard, 8)
            assert (a.heard, b.heard) == ([""], [""])


async def test_what_a_slow_process_missed_in_a_file_is_a_gap(tmp_path: Path) -> None:
    url = f"sqlite://{tmp_path / 'plexus.db'}"
    async with processes(url) as (a, b):
        with connection_to(tmp_path / "plexus.db") as connection:
            connection.execute("BEGIN IMMEDIATE")  # what comes and goes in it is heard by nobody
            for ids in ("lost", "kept"):
                connection.execute("INSERT INTO bus VALUES (NULL, ?, 0)", (f"c t {ids}",))
            connection.execute("DELETE FROM bus WHERE id < (SELECT MAX(id) FROM bus)")
            connection.execute("COMMIT")
        await until(lambda: len(a.heard) == len(b.heard) == 2, 1)
        assert a.heard == b.heard == ["", "kept"]


async def test_messages_in_a_file_go_after_a_while(tmp_path: Path) -> None:
    url = f"sqlite://{tmp_path / 'plexus.db'}"
    async with processes(url) as (a, b):
        with connection_to(tmp_path / "plexus.db") as connection:
            connection.execute("INSERT INTO bus VALUES (NULL, 'c t old', 0)")
            await until(lambda: b.heard == ["old"], 1)
            a.bus.publish("t", "new")
            await until(lambda: b.heard == ["old", "new"], 1)
            assert connection.execute("SELECT notice FROM bus").fetchall() == [("a t new",)]


SPEAK = """
import asyncio, sys
from plexus_proxy.cluster.bus import Bus
from plexus_proxy.db.open import open_database

async def main():
    async with open_database(sys.argv[1]) as database:
        bus = Bus(database, "speaker")
        for number in range(20):
            bus.publish("t", str(number))
            await bus.send()

asyncio.run(main())
"""


async def test_processes_of_their_own_hear_each_other_through_a_file(tmp_path: Path) -> None:
    url = f"sqlite://{tmp_path / 'plexus.db'}"
    async with processes(url) as (a, b):
        command = [sys.executable, "-c", SPEAK, url]
        speaker = await asyncio.to_thread(
            subprocess.run, command, capture_output=True, text=True, timeout=60, check=False
        )
        assert (speaker.returncode, speaker.stderr) == (0, "")
        everything = [str(number) for number in range(20)]
        await until(lambda: len(a.heard) >= 20 and len(b.heard) >= 20, 1)
        assert a.heard == b.heard == everything
