"""Reasoning kept for clients that do not echo it, in both databases."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest
from aiohttp import web
from support.waiting import until

from plexus_proxy.cluster.cluster import CLUSTER, Cluster
from plexus_proxy.crypto import Sealer, Secret
from plexus_proxy.db.database import DATABASE, Database, Query, Row, Unavailable
from plexus_proxy.formats.anchors import Sought
from plexus_proxy.formats.conversation import Reasoning, Remembered
from plexus_proxy.formats.events import Opaque
from plexus_proxy.vault import reasoning
from plexus_proxy.vault.reasoning import ReasoningVault, reasoning_vault
from plexus_proxy.vault.store import VaultStore

PART = Reasoning(
    text="because\0é",
    opaque=Opaque(kind="sig", data="c2ln", issuer="acme", model="m", item_id="rs_1"),
    text_offset=3,
)
TURN = Remembered(("call_1", "call_2"), (PART, Reasoning(text="")))


def vault_of(database: Database, key: str | None = None, **options: Any) -> ReasoningVault:
    """As another process has it: nothing in memory."""
    sealer = Sealer(Secret(key) if key else None)
    return ReasoningVault(VaultStore(database, sealer), **options)


def sought(*anchors: str, awaited: bool = False) -> Sought:
    return Sought(anchors, frozenset(anchors if awaited else ()))


async def stored(database: Database) -> list[Row]:
    """The rows that are there, whatever their age."""
    params = {f"a{number}": "" for number in range(1, 9)}
    found: list[Row] = []
    for anchor in ("call_1", "call_2", "old", "new"):
        params["a1"] = anchor
        found += await database.fetch_all("reasoning_of", key_name="alice", now_ms=0, **params)
    return found


async def test_another_process_finds_a_turn_under_each_of_its_anchors(database: Database) -> None:
    await vault_of(database).keep("alice", TURN)
    found = await vault_of(database).fetch("alice", sought("call_2", "call_3", "call_1"))
    assert found == {"call_1": TURN.parts, "call_2": TURN.parts}


async def test_more_anchors_than_one_statement_takes(database: Database) -> None:
    anchors = tuple(f"call_{number}" for number in range(20))
    await vault_of(database).keep("alice", Remembered(anchors, (PART,)))
    found = await vault_of(database).fetch("alice", sought("none", *anchors))
    assert set(found) == set(anchors)


async def test_another_key_never_sees_it(database: Database) -> None:
    vault = vault_of(database)
    await vault.keep("alice", TURN)
    assert await vault.fetch("bob", sought("call_1")) == {}


async def test_it_is_forgotten_after_its_time(database: Database) -> None:
    vault = vault_of(database, ttl_ms=0)
    await vault.keep("alice", TURN)
    assert await vault.fetch("alice", sought("call_1")) == {}
    assert len(await stored(database)) == 2
    await vault.clean()
    assert await stored(database) == []


async def test_the_oldest_go_when_there_is_too_much(database: Database) -> None:
    await vault_of(database, ttl_ms=50_000).keep("alice", Remembered(("old",), (PART,)))
    await vault_of(database, ttl_ms=90_000).keep("alice", Remembered(("new",), (PART,)))
    await vault_of(database, max_stored_bytes=10_000).clean()
    assert len(await stored(database)) == 2
    await vault_of(database, max_stored_bytes=10).clean()
    assert await stored(database) == []


async def test_the_newest_turn_of_an_anchor_counts(database: Database) -> None:
    vault = vault_of(database)
    await vault.keep("alice", TURN)
    await vault.keep("alice", Remembered(("call_1",), (Reasoning(text="again"),)))
    for each in (vault, vault_of(database)):
        found = await each.fetch("alice", sought("call_1"))
        assert found == {"call_1": (Reasoning(text="again"),)}


async def test_rows_are_sealed_when_there_is_a_key(database: Database) -> None:
    await vault_of(database, "a passphrase").keep("alice", TURN)
    for row in await stored(database):
        assert row["parts"].startswith("enc:v1:")
    found = await vault_of(database, "a passphrase").fetch("alice", sought("call_1"))
    assert found == {"call_1": TURN.parts}


async def test_what_another_key_sealed_is_not_there(database: Database) -> None:
    await vault_of(database, "one").keep("alice", TURN)
    assert await vault_of(database, "two").fetch("alice", sought("call_1")) == {}


async def test_a_turn_that_thought_too_much_is_not_kept(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reasoning, "MAX_TURN_BYTES", 10)
    vault = vault_of(database)
    await vault.keep("alice", TURN)
    assert await vault.fetch("alice", sought("call_1")) == {}


class SlowStore(VaultStore):
    """Commits when it is allowed to; counts its transactions and questions."""

    def __init__(self, database: Database) -> None:
        super().__init__(database, Sealer(None))
        self.allowed = asyncio.Event()
        self.inserts = 0
        self.fetches = 0

    async def insert(self, rows: Any) -> None:
        self.inserts += 1
        await self.allowed.wait()
        await super().insert(rows)

    async def fetch(self, key_name: str, anchors: Any, now_ms: int) -> Any:
        self.fetches += 1
        return await super().fetch(key_name, anchors, now_ms)


async def test_a_slow_commit_is_not_waited_for_and_not_lost(database: Database) -> None:
    store = SlowStore(database)
    vault = ReasoningVault(store, commit_s=0.05)
    await vault.keep("alice", TURN)  # returns although nothing is committed
    assert await stored(database) == []
    assert await vault.fetch("alice", sought("call_1")) == {"call_1": TURN.parts}
    store.allowed.set()
    await vault.commit()
    assert len(await stored(database)) == 2


async def test_a_quick_commit_is_waited_for(database: Database) -> None:
    store = SlowStore(database)
    vault = ReasoningVault(store, commit_s=20)
    keeping = asyncio.ensure_future(vault.keep("alice", TURN))
    await asyncio.sleep(0.05)
    assert not keeping.done()
    store.allowed.set()
    await keeping
    assert len(await stored(database)) == 2


async def test_turns_that_wait_share_a_transaction(database: Database) -> None:
    store = SlowStore(database)
    vault = ReasoningVault(store, commit_s=0.01)
    for number in range(10):
        await vault.keep("alice", Remembered((f"call_{number}",), (PART,)))
    store.allowed.set()
    await vault.commit()
    assert store.inserts == 2
    assert len(await vault_of(database).fetch("alice", sought("call_0", "call_9"))) == 2


async def test_what_is_awaited_is_asked_for_until_it_is_there(database: Database) -> None:
    fetching = asyncio.ensure_future(
        vault_of(database, miss_s=20).fetch("alice", sought("call_1", awaited=True))
    )
    await asyncio.sleep(0.2)
    assert not fetching.done()
    await vault_of(database).keep("alice", TURN)
    assert await fetching == {"call_1": TURN.parts}


async def test_what_is_not_awaited_is_asked_for_once(database: Database) -> None:
    store = SlowStore(database)
    assert await ReasoningVault(store, miss_s=20).fetch("alice", sought("call_1")) == {}
    assert store.fetches == 1


async def test_what_never_comes_is_waited_for_once(database: Database) -> None:
    store = SlowStore(database)
    vault = ReasoningVault(store, miss_s=0.2)
    assert await vault.fetch("alice", sought("call_1", awaited=True)) == {}
    asked = store.fetches
    assert asked > 1
    assert await vault.fetch("alice", sought("call_1", awaited=True)) == {}
    assert store.fetches == asked


@asynccontextmanager
async def away(store: VaultStore, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """The database does not answer."""

    async def fail(*_: Any) -> Any:
        raise Unavailable("away")

    with monkeypatch.context() as patched:
        patched.setattr(store, "insert", fail)
        patched.setattr(store, "fetch", fail)
        yield


async def test_without_the_database_the_process_still_remembers(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = VaultStore(database, Sealer(None))
    vault = ReasoningVault(store)
    async with away(store, monkeypatch):
        await vault.keep("alice", TURN)
        found = await vault.fetch("alice", sought("call_1", "unknown"))
    assert found == {"call_1": TURN.parts}


class Hanging(SlowStore):
    """Does not answer while it hangs."""

    hangs = True

    async def fetch(self, key_name: str, anchors: Any, now_ms: int) -> Any:
        if self.hangs:
            await asyncio.sleep(20)
        return await super().fetch(key_name, anchors, now_ms)


@pytest.mark.parametrize("awaited", [True, False])
async def test_a_database_that_did_not_answer_has_not_said_no(
    database: Database, monkeypatch: pytest.MonkeyPatch, awaited: bool
) -> None:
    monkeypatch.setattr(reasoning, "LOOK_S", 0.05)
    await vault_of(database).keep("alice", TURN)
    store = Hanging(database)
    vault = ReasoningVault(store, miss_s=0.1)
    assert await vault.fetch("alice", sought("call_1", awaited=awaited)) == {}
    store.hangs = False
    assert await vault.fetch("alice", sought("call_1")) == {"call_1": TURN.parts}


async def test_what_is_kept_while_the_database_is_asked_stays(database: Database) -> None:
    store = SlowStore(database)
    store.allowed.set()
    vault = ReasoningVault(store)
    first = asyncio.ensure_future(vault.fetch("alice", sought("call_1")))
    await asyncio.sleep(0)
    await vault.keep("alice", TURN)
    await first
    assert await vault.fetch("alice", sought("call_1")) == {"call_1": TURN.parts}


async def test_an_anchor_that_no_database_can_hold_costs_no_other(database: Database) -> None:
    await vault_of(database).keep("alice", Remembered(("a\0", "call_1"), (PART,)))
    assert await vault_of(database).fetch("alice", sought("call_1")) == {"call_1": (PART,)}


async def test_what_waits_for_a_database_that_hangs_is_bounded(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reasoning, "_MAX_PENDING_BYTES", 2000)
    store = SlowStore(database)
    vault = ReasoningVault(store, commit_s=0.01)
    thought = (Reasoning(text="x" * 900),)
    for number in range(20):
        await vault.keep("alice", Remembered((f"call_{number}",), thought))
    store.allowed.set()
    await vault.commit()
    anchors = [f"call_{number}" for number in range(20)]
    assert 2 <= len(await vault_of(database).fetch("alice", sought(*anchors))) <= 4


class Watched:
    """A process's database, which notes what is written."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.written: list[Query] = []

    async def execute(self, query: Query, **params: Any) -> int:
        self.written.append(query)
        return await self._database.execute(query, **params)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._database, name)

    @property
    def cleanings(self) -> int:
        return self.written.count("reasoning_delete_expired")


@asynccontextmanager
async def process(database: Watched) -> AsyncIterator[None]:
    app = web.Application()
    app[DATABASE] = cast(Database, database)
    app[CLUSTER] = Cluster(app[DATABASE], lambda: "")
    async with reasoning_vault(None, clean_s=0.1)(app):
        yield


async def test_one_process_of_several_cleans_for_all(database: Database) -> None:
    await vault_of(database, ttl_ms=0).keep("alice", TURN)
    first, second = Watched(database), Watched(database)
    async with process(second):
        async with process(first):
            await until(lambda: first.cleanings + second.cleanings >= 4)
            assert 0 in (first.cleanings, second.cleanings)
            assert await stored(database) == []
        before = second.cleanings
        await until(lambda: second.cleanings > before)
