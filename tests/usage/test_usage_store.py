"""Usage rows in both databases."""

import asyncio

import msgspec
import pytest
from support.rows import STARTED_AT_MS, full_row, make_row

from plexus_proxy.db.database import Conflict, Database
from plexus_proxy.usage.record import UsageRow
from plexus_proxy.usage.store import UsageFilters, UsageStore

NOW_MS = STARTED_AT_MS + 5000
EVERYTHING = UsageFilters()


@pytest.fixture
def store(database: Database) -> UsageStore:
    return UsageStore(database)


async def ids_of(store: UsageStore, filters: UsageFilters) -> set[str]:
    """What the filters find; list and count must agree."""
    found = {row.request_id for row in await store.fetch_page(filters, 100, 0)}
    assert await store.count(filters) == len(found)
    return found


async def test_every_field_comes_back_as_it_went_in(store: UsageStore) -> None:
    row = full_row()
    default = make_row()
    defaults = {n for n in UsageRow.__struct_fields__ if getattr(row, n) == getattr(default, n)}
    assert defaults <= {
        "started_at_ms",
        "duration_ms",
        "key_name",
        "client_format",
        "created_at_ms",
    }
    await store.insert_rows([row], NOW_MS)
    stored = msgspec.structs.replace(row, created_at_ms=NOW_MS)
    assert await store.fetch_row(row.request_id) == stored


async def test_a_row_of_defaults_comes_back_as_it_went_in(store: UsageStore) -> None:
    row = make_row()
    await store.insert_rows([row], NOW_MS)
    assert await store.fetch_row(row.request_id) == msgspec.structs.replace(
        row, created_at_ms=NOW_MS
    )


async def test_an_unknown_request_id_is_no_row(store: UsageStore) -> None:
    assert await store.fetch_row("nope") is None


async def test_numbers_beyond_32_bits_are_kept(store: UsageStore) -> None:
    row = make_row(input_tokens=2**40, duration_ms=2**33)
    await store.insert_rows([row], NOW_MS)
    stored = await store.fetch_row(row.request_id)
    assert stored is not None
    assert (stored.input_tokens, stored.duration_ms) == (2**40, 2**33)


async def test_a_row_sent_twice_is_a_conflict_and_nothing_of_the_batch_stays(
    store: UsageStore,
) -> None:
    old, new = make_row(), make_row()
    await store.insert_rows([old], NOW_MS)
    with pytest.raises(Conflict):
        await store.insert_rows([new, old], NOW_MS)
    assert await ids_of(store, EVERYTHING) == {old.request_id}


async def test_inserting_unknown_rows_returns_only_the_new_ones(store: UsageStore) -> None:
    old, new = make_row(), make_row()
    await store.insert_rows([old], NOW_MS)
    changed = msgspec.structs.replace(old, input_tokens=99)
    assert await store.insert_unknown_rows([changed, new, new], NOW_MS) == [new]
    assert await ids_of(store, EVERYTHING) == {old.request_id, new.request_id}
    stored = await store.fetch_row(old.request_id)
    assert stored is not None
    assert stored.input_tokens == 0


async def test_two_replays_at_once_count_each_row_once(store: UsageStore) -> None:
    rows = [make_row() for _ in range(20)]
    fresh = await asyncio.gather(*(store.insert_unknown_rows(rows, NOW_MS) for _ in range(3)))
    assert sum(map(len, fresh)) == 20
    assert await store.count(EVERYTHING) == 20


async def test_pages_are_newest_first_and_join_without_gap_or_overlap(store: UsageStore) -> None:
    rows = [make_row(started_at_ms=STARTED_AT_MS + i // 2) for i in range(25)]
    await store.insert_rows(rows, NOW_MS)
    pages = [await store.fetch_page(EVERYTHING, 10, offset) for offset in (0, 10, 20, 30)]
    assert [len(page) for page in pages] == [10, 10, 5, 0]
    joined = [row for page in pages for row in page]
    assert len({row.request_id for row in joined}) == 25
    starts = [row.started_at_ms for row in joined]
    assert starts == sorted(starts, reverse=True)


MATCHES = [
    (UsageFilters(key_name="app"), {"key_name": "app"}, {"key_name": "app2"}),
    (UsageFilters(attribution="blue"), {"attribution": "blue"}, {"attribution": None}),
    (UsageFilters(client_request_id="c1"), {"client_request_id": "c1"}, {}),
    (UsageFilters(client_format="chat"), {}, {"client_format": "messages"}),
    (UsageFilters(provider_format="chat"), {"provider_format": "chat"}, {}),
    (UsageFilters(status="error"), {"status": "error"}, {}),
    (UsageFilters(provider_like="PEN"), {"provider": "OpenRouter"}, {"provider": "vendor"}),
    (UsageFilters(alias_like="gpt"), {"alias": "my-GPT-5"}, {"alias": None}),
    (UsageFilters(model_like="/q:"), {"model": "vendor/q:free"}, {"model": "vendor/q"}),
    (UsageFilters(min_duration_ms=1201), {"duration_ms": 1201}, {}),
    (UsageFilters(max_duration_ms=1199), {"duration_ms": 1199}, {}),
    (UsageFilters(start_ms=STARTED_AT_MS), {}, {"started_at_ms": STARTED_AT_MS - 1}),
    (UsageFilters(end_ms=STARTED_AT_MS), {}, {"started_at_ms": STARTED_AT_MS + 1}),
]


@pytest.mark.parametrize(
    ("filters", "hit", "miss"),
    MATCHES,
    ids=[str(next(iter(case[1] or case[2]))) for case in MATCHES],
)
async def test_each_filter_finds_its_rows_only(
    store: UsageStore, filters: UsageFilters, hit: dict[str, object], miss: dict[str, object]
) -> None:
    await store.insert_rows(
        [make_row(request_id="hit", **hit), make_row(request_id="miss", **miss)], NOW_MS
    )
    assert await ids_of(store, filters) == {"hit"}


async def test_all_filters_together_narrow_down(store: UsageStore) -> None:
    hit = full_row(request_id="hit")
    await store.insert_rows([hit, full_row(request_id="miss", attribution="red")], NOW_MS)
    filters = UsageFilters(
        start_ms=STARTED_AT_MS,
        end_ms=STARTED_AT_MS,
        key_name="app",
        attribution="team:blue",
        client_request_id="client-1",
        client_format="chat",
        provider_format="messages",
        status="stall",
        provider_like="vend",
        alias_like="fast",
        model_like="quick",
        min_duration_ms=1,
        max_duration_ms=10_000,
    )
    assert None not in msgspec.structs.astuple(filters)
    assert await ids_of(store, filters) == {"hit"}


@pytest.mark.parametrize("part", ["%", "_", "!", "50%", "a_b", "!%"])
async def test_wildcards_in_a_filter_are_plain_text(store: UsageStore, part: str) -> None:
    await store.insert_rows(
        [make_row(request_id="hit", alias=f"x{part}y"), make_row(request_id="miss", alias="50axb")],
        NOW_MS,
    )
    assert await ids_of(store, UsageFilters(alias_like=part)) == {"hit"}


async def test_sql_in_a_filter_is_plain_text(store: UsageStore) -> None:
    row = make_row()
    await store.insert_rows([row], NOW_MS)
    assert await ids_of(store, UsageFilters(key_name="' OR 1=1 --")) == set()
    assert await ids_of(store, UsageFilters(alias_like="'; DROP TABLE usage; --")) == set()
    assert await ids_of(store, EVERYTHING) == {row.request_id}


async def test_one_row_is_deleted(store: UsageStore) -> None:
    await store.insert_rows([make_row(request_id="a/b c"), make_row(request_id="other")], NOW_MS)
    assert await store.delete_row("a/b c") is True
    assert await store.delete_row("a/b c") is False
    assert await ids_of(store, EVERYTHING) == {"other"}


async def test_rows_before_an_instant_are_deleted(store: UsageStore) -> None:
    old = make_row(started_at_ms=STARTED_AT_MS - 1)
    young = make_row(started_at_ms=STARTED_AT_MS)
    await store.insert_rows([old, young], NOW_MS)
    assert await store.delete_before(STARTED_AT_MS) == 1
    assert await ids_of(store, EVERYTHING) == {young.request_id}


async def test_deleting_all_takes_more_than_one_bite(store: UsageStore) -> None:
    await store.insert_rows([make_row() for _ in range(4500)], NOW_MS)
    assert await store.delete_all() == 4500
    assert await store.count(EVERYTHING) == 0
