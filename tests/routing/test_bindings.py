"""Who served a session last: remembered, shared, kept, and forgotten in time."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence

import pytest
from aiohttp import web
from support.databases import Outage

from plexus_proxy.cluster.cluster import CLUSTER, Cluster
from plexus_proxy.cluster.leases import Leases
from plexus_proxy.config.model import TargetKey
from plexus_proxy.db.database import DATABASE, Database
from plexus_proxy.db.open import open_database
from plexus_proxy.routing import bindings as module
from plexus_proxy.routing.binding_store import BindingStore, Bound
from plexus_proxy.routing.bindings import (
    ABSENT_MS,
    AWAY_MS,
    BINDINGS,
    PREFER_MS,
    REFRESH_MS,
    STATE_MS,
    Bindings,
    Unknown,
    keys_of,
)
from plexus_proxy.routing.sticky import Session

A: TargetKey = ("acme", "fast")
B: TargetKey = ("other", "fast")
KEY = "k1"
NOON_MS = 1_800_000_000_000


class Clock:
    def __init__(self) -> None:
        self.now_ms = NOON_MS

    def __call__(self) -> int:
        return self.now_ms


@pytest.fixture
def clock() -> Clock:
    return Clock()


class Table:
    """Rows in a dict, for what only memory decides; counts how often it is asked."""

    def __init__(self) -> None:
        self.rows: dict[str, Bound] = {}
        self.written: list[Mapping[str, Bound]] = []
        self.asked = 0

    async def put(self, bindings: Mapping[str, Bound]) -> None:
        self.written.append(bindings)
        self.rows.update(bindings)

    async def fetch(self, keys: Sequence[str], since_ms: int) -> dict[str, Bound]:
        self.asked += 1
        return {k: self.rows[k] for k in keys if k in self.rows}


def process_at(
    database: Database, clock: Clock, announce: Callable[[str], None] = lambda _: None
) -> Bindings:
    """A process that waits for its database, however busy the machine is."""
    return Bindings(BindingStore(database), announce=announce, clock=clock, look_s=10)


Process = Callable[[], Bindings]


@pytest.fixture
def process(database: Database, clock: Clock) -> Process:
    """One more process at the same database."""
    return lambda: process_at(database, clock)


def alone(clock: Clock, table: Table | None = None, most: int = 100) -> Bindings:
    return Bindings(table or Table(), clock=clock, max_sessions=most)  # pyright: ignore[reportArgumentType] - the methods it calls are there


async def test_another_process_finds_who_served(process: Process) -> None:
    one, other = process(), process()
    one.served(KEY, A)
    assert one.bound_now(KEY) == A
    assert other.bound_now(KEY) is Unknown.UNKNOWN
    await one.commit()
    assert await other.find(KEY) == A
    assert other.bound_now(KEY) == A


async def test_a_restart_keeps_it(database_url: str, clock: Clock) -> None:
    async with open_database(database_url) as first:
        before = process_at(first, clock)
        before.served(KEY, A)
        await before.commit()
    async with open_database(database_url) as second:
        assert await process_at(second, clock).find(KEY) == A


async def test_the_latest_target_counts_whoever_writes_last(process: Process, clock: Clock) -> None:
    slow, quick = process(), process()
    slow.served(KEY, A)
    clock.now_ms += 1
    quick.served(KEY, B)
    await quick.commit()
    await slow.commit()
    assert await process().find(KEY) == B


async def test_two_processes_write_the_same_sessions_at_once(process: Process) -> None:
    keys = [f"k{number}" for number in range(700)]
    one, other = process(), process()
    for key in keys:
        one.served(key, A)
    for key in reversed(keys):
        other.served(key, A)
    await asyncio.gather(one.commit(), other.commit())
    assert await process().find(keys[0]) == await process().find(keys[-1]) == A


async def test_the_name_of_the_first_turn_is_found_where_the_sharper_is_not(
    process: Process,
) -> None:
    one = process()
    one.served("opening", A)
    await one.commit()
    other = process()
    assert await other.find("exchange", "opening") == A
    other.served("exchange", B)
    assert other.bound_now("exchange", "opening") == B


def test_the_sharper_name_must_be_known_before_the_other_counts(clock: Clock) -> None:
    bindings = alone(clock)
    bindings.served("opening", A)
    assert bindings.bound_now("exchange", "opening") is Unknown.UNKNOWN


async def test_idle_sessions_prefer_nothing_but_their_state_is_followed(
    process: Process, clock: Clock
) -> None:
    bindings = process()
    bindings.served(KEY, A)
    await bindings.commit()
    clock.now_ms += PREFER_MS
    assert await process().find(KEY) == A
    clock.now_ms += 1
    for each in (bindings, process()):
        assert each.bound_now(KEY) is Unknown.UNKNOWN
        assert await each.find(KEY) is None
        assert await each.find(KEY, carries_state=True) == A
    clock.now_ms = NOON_MS + STATE_MS + 1
    for each in (bindings, process()):
        assert await each.find(KEY, carries_state=True) is None


async def test_a_session_idle_here_may_have_gone_on_elsewhere(
    process: Process, clock: Clock
) -> None:
    here, elsewhere = process(), process()
    here.served(KEY, A)
    clock.now_ms += PREFER_MS + 1
    elsewhere.served(KEY, B)
    await elsewhere.commit()
    assert await here.find(KEY) == B


async def test_use_keeps_a_session_bound(process: Process, clock: Clock) -> None:
    bindings = process()
    for _ in range(3):
        bindings.served(KEY, A)
        await bindings.commit()
        clock.now_ms += PREFER_MS - REFRESH_MS
    assert await process().find(KEY) == A


async def test_a_spill_does_not_rebind(process: Process) -> None:
    bindings = process()
    bindings.served(KEY, A)
    bindings.served(KEY, B, spilled=True)
    await bindings.commit()
    assert bindings.bound_now(KEY) == A
    assert await process().find(KEY) == A


async def test_a_failover_does(process: Process) -> None:
    bindings = process()
    bindings.served(KEY, A)
    await bindings.commit()
    bindings.served(KEY, B)
    await bindings.commit()
    assert bindings.bound_now(KEY) == B
    assert await process().find(KEY) == B


async def test_a_busy_session_is_rarely_written(clock: Clock) -> None:
    table = Table()
    bindings = alone(clock, table)
    for _ in range(100):
        bindings.served(KEY, A)
        await bindings.commit()
        clock.now_ms += REFRESH_MS // 50
    assert [dict(each)[KEY].used_at_ms for each in table.written] == [NOON_MS, NOON_MS + REFRESH_MS]
    bindings.served(KEY, B)
    bindings.served(KEY, A)
    await bindings.commit()
    assert len(table.written) == 3
    assert table.rows[KEY].target == A


async def test_what_is_not_there_is_asked_for_once_in_a_while(clock: Clock) -> None:
    table = Table()
    bindings = alone(clock, table)
    assert await bindings.find(KEY) is None
    assert bindings.bound_now(KEY) is None
    assert await bindings.find(KEY) is None
    assert table.asked == 1
    clock.now_ms += ABSENT_MS + 1
    assert bindings.bound_now(KEY) is Unknown.UNKNOWN
    table.rows[KEY] = Bound(A, clock.now_ms)
    assert await bindings.find(KEY) == A


async def test_the_sessions_used_longest_ago_are_dropped_from_memory(clock: Clock) -> None:
    bindings = alone(clock, most=3)
    for key in ("a", "b", "c"):
        bindings.served(key, A)
    assert bindings.bound_now("a") == A
    bindings.served("d", A)
    assert bindings.bound_now("b") is Unknown.UNKNOWN
    assert [bindings.bound_now(key) for key in ("a", "c", "d")] == [A, A, A]
    await bindings.find("e")
    assert bindings.bound_now("a") is Unknown.UNKNOWN


async def test_other_processes_hear_that_a_session_has_moved(
    database: Database, clock: Clock
) -> None:
    told: list[str] = []
    one = process_at(database, clock, told.append)
    other = process_at(database, clock)
    one.served(KEY, A)
    one.served("k2", A)
    await one.commit()
    assert await other.find(KEY) == A
    assert told == []
    one.served(KEY, B)
    await one.commit()
    assert told == [KEY]
    other.heard(KEY)
    assert await other.find(KEY) == B


@pytest.mark.parametrize("first_served", ["one", "other"])
@pytest.mark.parametrize("first_written", ["one", "other"])
async def test_processes_that_begin_a_session_at_the_same_time_come_to_agree(
    database: Database, clock: Clock, first_served: str, first_written: str
) -> None:
    processes: dict[str, Bindings] = {}

    def announce(ids: str) -> None:
        for each in processes.values():
            each.heard(ids)

    targets = {"one": A, "other": B}
    for name in targets:
        processes[name] = process_at(database, clock, announce)
    for each in processes.values():
        assert await each.find(KEY) is None
    for name in sorted(targets, key=lambda name: name != first_served):
        processes[name].served(KEY, targets[name])
        clock.now_ms += 1
    for name in sorted(targets, key=lambda name: name != first_written):
        await processes[name].commit()
    latest = A if first_served == "other" else B
    assert [await each.find(KEY) for each in processes.values()] == [latest, latest]


@pytest.mark.parametrize("ids", [KEY, ""])
async def test_what_is_on_its_way_to_the_table_is_not_dropped(
    process: Process, clock: Clock, ids: str
) -> None:
    one, other = process(), process()
    one.served(KEY, A)
    await one.commit()
    clock.now_ms += 1
    other.served(KEY, B)
    other.heard(ids)
    assert other.bound_now(KEY) == B


async def test_after_a_gap_the_table_is_asked_again(process: Process) -> None:
    one, other = process(), process()
    one.served(KEY, A)
    await one.commit()
    other.served(KEY, B)
    await other.commit()
    one.heard("")
    assert await one.find(KEY) == B


async def test_all_are_forgotten_everywhere(database: Database, clock: Clock) -> None:
    others: list[Bindings] = []

    def announce(ids: str) -> None:
        for each in others:
            each.heard(ids)

    one = process_at(database, clock, announce)
    other = process_at(database, clock)
    others.append(other)
    other.served("stored", A)
    await other.commit()
    other.served("pending", A)
    one.served("own", A)
    assert await one.forget_all() == 1
    await one.commit()
    await other.commit()
    for key in ("stored", "pending", "own"):
        for each in (one, other):
            assert await each.find(key) is None


async def test_only_what_nothing_follows_any_more_is_deleted(
    database: Database, clock: Clock
) -> None:
    bindings = process_at(database, clock)
    bindings.served("old", A)
    clock.now_ms += 1
    bindings.served("young", A)
    await bindings.commit()
    clock.now_ms += STATE_MS - 1
    await bindings.clean()
    assert set(await BindingStore(database).fetch(["old", "young"], 0)) == {"young"}


async def test_without_a_database_memory_goes_on(outage: Outage, clock: Clock) -> None:
    async with open_database(outage.url) as database:
        bindings = Bindings(BindingStore(database), clock=clock)
        bindings.served(KEY, A)
        await bindings.commit()
        assert bindings.bound_now(KEY) == A
        async with asyncio.timeout(1):
            assert await bindings.find("unknown") is None
        await outage.end()
        clock.now_ms += AWAY_MS
        async with asyncio.timeout(10):
            stored: Mapping[str, Bound] = {}
            while not stored:
                await asyncio.sleep(0.02)
                await bindings.commit()
                stored = await BindingStore(database).fetch([KEY], 0)
        assert stored[KEY].target == A


async def test_a_slow_table_holds_up_one_request_in_a_second(clock: Clock) -> None:
    table = Table()

    async def fetch(_keys: Sequence[str], _since_ms: int) -> dict[str, Bound]:
        table.asked += 1
        await asyncio.sleep(60)
        return {}

    table.fetch = fetch
    bindings = alone(clock, table)
    async with asyncio.timeout(1):
        assert [await bindings.find(f"k{number}") for number in range(30)] == [None] * 30
    assert table.asked == 1
    clock.now_ms += AWAY_MS
    await bindings.find("k")
    assert table.asked == 2


async def test_a_name_that_no_database_holds_harms_no_other(process: Process) -> None:
    bindings = process()
    bindings.served("bad", ("acme", "a\0b"))
    bindings.served(KEY, A)
    await bindings.commit()
    assert await process().find(KEY) == A


SESSION = Session("s-1", True, "question:1")


@pytest.mark.parametrize(
    ("owner", "alias", "text"),
    [("bob", "m", "s-1"), ("alice:team", "m", "s-1"), ("alice", "n", "s-1"), ("alice", "m", "s-2")],
)
def test_keys_part_owners_aliases_and_sessions(owner: str, alias: str, text: str) -> None:
    other = keys_of(owner, alias, Session(text, True))
    assert set(other).isdisjoint(keys_of("alice", "m", SESSION))


def test_parts_of_a_key_do_not_run_into_each_other() -> None:
    assert keys_of("a", "bc", Session("d", True)) != keys_of("ab", "c", Session("d", True))


async def test_the_table_holds_nothing_of_the_client(database: Database, clock: Clock) -> None:
    bindings = process_at(database, clock)
    session = Session("session-of-the-client \udcff", True)
    (key,) = keys_of("alice", "alias", session)
    bindings.served(key, A)
    await bindings.commit()
    rows = await database.fetch_all("bindings_of", first=key, second=key, since_ms=0)
    assert [dict(row) for row in rows] == [
        {"key_hash": key, "provider": A[0], "model": A[1], "used_at_ms": NOON_MS}
    ]
    assert not any(text in key for text in ("session", "client", "alice", "alias"))


@pytest.mark.parametrize(("mine", "left"), [(True, set[str]()), (False, {"old"})])
async def test_one_process_cleans_and_the_last_second_is_stored_at_the_end(
    database: Database, monkeypatch: pytest.MonkeyPatch, mine: bool, left: set[str]
) -> None:
    monkeypatch.setattr(module, "CLEAN_S", 0.02)
    store = BindingStore(database)
    await store.put({"old": Bound(A, 1)})
    if not mine:
        other = Leases(database, "other", lambda: time.time_ns() // 1_000_000)
        assert await other.take("clean bindings", 600)
    app = web.Application()
    app[DATABASE] = database
    app[CLUSTER] = Cluster(database, lambda: "digest")
    async with module.bindings(app):
        app[BINDINGS].served(KEY, A)
        await asyncio.sleep(0.1)  # several rounds
        await _until(lambda: store.fetch(["old"], 0), left)
    assert set(await store.fetch([KEY, "old"], 0)) == {KEY, *left}


async def _until(fetch: Callable[[], Awaitable[Mapping[str, Bound]]], keys: set[str]) -> None:
    async with asyncio.timeout(5):
        while set(await fetch()) != keys:  # noqa: ASYNC110 - the row is deleted by another
            await asyncio.sleep(0.01)
