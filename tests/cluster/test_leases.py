"""One process of many does a job, and another takes over."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

import pytest
from support.databases import Outage
from support.waiting import until

from plexus_proxy.cluster.leases import Leases, every_once
from plexus_proxy.db.database import Database
from plexus_proxy.db.open import open_database


class Clock:
    now_ms = 1_000_000

    def __call__(self) -> int:
        return self.now_ms


@pytest.fixture
def clock() -> Clock:
    return Clock()


async def test_one_of_twenty_that_take_it_at_once_gets_it(database_url: str, clock: Clock) -> None:
    async with AsyncExitStack() as stack:
        databases = [await stack.enter_async_context(open_database(database_url)) for _ in range(4)]
        takers = [Leases(databases[number % 4], f"{number}", clock) for number in range(20)]
        for _ in range(3):  # free, held, expired
            got = await asyncio.gather(*(taker.take("job", 5) for taker in takers))
            assert sum(got) == 1
            again = await asyncio.gather(*(taker.take("job", 5) for taker in takers))
            assert again == got
            clock.now_ms += 5000


async def test_a_lease_that_expires_is_anothers_to_take(database: Database, clock: Clock) -> None:
    a, b = Leases(database, "a", clock), Leases(database, "b", clock)
    assert await a.take("job", 5)
    clock.now_ms += 4999
    assert not await b.take("job", 5)
    clock.now_ms += 1
    assert await b.take("job", 5)
    assert not await a.take("job", 5)


async def test_a_lease_that_is_renewed_does_not_expire(database: Database, clock: Clock) -> None:
    a, b = Leases(database, "a", clock), Leases(database, "b", clock)
    for _ in range(4):
        assert await a.take("job", 5)
        clock.now_ms += 3000
        assert not await b.take("job", 5)


async def test_leases_of_other_names_are_free(database: Database, clock: Clock) -> None:
    assert await Leases(database, "a", clock).take("job", 5)
    assert await Leases(database, "b", clock).take("other", 5)


async def test_only_its_holder_releases_a_lease(database: Database, clock: Clock) -> None:
    a, b = Leases(database, "a", clock), Leases(database, "b", clock)
    assert await a.take("job", 5)
    await b.release("job")
    assert not await b.take("job", 5)
    clock.now_ms += 5000
    assert await b.take("job", 5)
    await a.release("job")
    assert not await a.take("job", 5)
    await b.release("job")
    assert await a.take("job", 5)


@pytest.mark.usefixtures("postgres_server")  # `outage` cannot start it: it has a loop running
async def test_nobody_holds_anything_while_the_database_is_away(
    outage: Outage, clock: Clock
) -> None:
    async with open_database(outage.url) as database:
        assert not await Leases(database, "a", clock).take("job", 5)


# ---- every_once


def wall_clock() -> int:
    return int(asyncio.get_running_loop().time() * 1000)


def noting(done: list[str], name: str) -> Callable[[], Awaitable[None]]:
    async def job() -> None:
        done.append(name)

    return job


async def test_one_process_does_the_job_and_another_when_it_stops(database: Database) -> None:
    done: list[str] = []
    leases = {name: Leases(database, name, wall_clock) for name in "ab"}
    async with every_once(leases["b"], "job", 0.3, noting(done, "b")):
        async with every_once(leases["a"], "job", 0.05, noting(done, "a")):
            await until(lambda: len(done) >= 4)
            assert set(done) == {"a"}
        done.clear()
        await until(lambda: done, 0.9)
        assert set(done) == {"b"}


async def test_another_takes_over_from_one_that_died(database: Database) -> None:
    done: list[str] = []
    assert await Leases(database, "dead", wall_clock).take("job", 0.4)
    started_ms = wall_clock()
    async with every_once(Leases(database, "b", wall_clock), "job", 0.05, noting(done, "b")):
        await until(lambda: done)
    assert wall_clock() - started_ms >= 390


async def test_a_job_that_takes_long_is_still_one_processs(database: Database) -> None:
    at_once: list[int] = []
    busy: set[str] = set()

    def slow(name: str) -> Callable[[], Awaitable[None]]:
        async def job() -> None:
            busy.add(name)
            at_once.append(len(busy))
            await asyncio.sleep(0.6)
            busy.discard(name)

        return job

    async with AsyncExitStack() as stack:
        for name in "abc":
            leases = Leases(database, name, wall_clock)
            await stack.enter_async_context(every_once(leases, "job", 0.1, slow(name)))
        await until(lambda: len(at_once) >= 2)
    assert set(at_once) == {1}


async def test_a_job_that_fails_is_tried_again(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    tries: list[int] = []

    async def fail() -> None:
        tries.append(1)
        raise ZeroDivisionError

    async with every_once(Leases(database, "a", wall_clock), "job", 0.02, fail):
        await until(lambda: len(tries) >= 2)
    assert "job failed" in caplog.text
