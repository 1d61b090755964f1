"""Places at providers and models, and those who wait for them."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plexus_proxy.limits.concurrency import Places, Slot, Want


def want(
    provider: str = "p", model: str = "m", *, limit: int | None = 1, of_model: int | None = None
) -> Want:
    return Want(provider, model, limit, of_model)


def taken(places: Places, wanted: Want) -> Slot:
    slot = places.take(wanted)
    assert slot is not None
    return slot


def waiting(places: Places, *wants: Want, seconds: float = 5) -> "asyncio.Task[Slot | None]":
    return asyncio.ensure_future(places.wait(wants, queue_size=10, seconds=seconds))


async def turn() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("limit", "processes", "room"),
    [(1, 1, 1), (4, 1, 4), (4, 2, 2), (5, 2, 3), (1, 3, 1), (2, 0, 2)],
)
def test_each_process_has_an_equal_slice_rounded_up(limit: int, processes: int, room: int) -> None:
    for wanted in (want(limit=limit), want(limit=None, of_model=limit)):
        places = Places(lambda: processes)
        assert [places.take(wanted) is not None for _ in range(room + 1)] == [True] * room + [False]
        assert room * max(1, processes) < limit + max(1, processes)


def test_models_share_the_limit_of_their_provider_and_have_their_own() -> None:
    places = Places(lambda: 1)
    taken(places, want(model="a", limit=2, of_model=1))
    assert places.take(want(model="a", limit=2, of_model=1)) is None
    taken(places, want(model="b", limit=2, of_model=1))
    assert places.take(want(model="c", limit=2, of_model=1)) is None
    taken(places, want("q"))
    assert places.active() == {("p", "a"): 1, ("p", "b"): 1, ("q", "m"): 1}


def test_a_place_given_back_twice_counts_once() -> None:
    places = Places(lambda: 1)
    first, second = taken(places, want(limit=2)), taken(places, want(limit=2))
    first.release()
    first.release()
    assert places.active() == {("p", "m"): 1}
    second.release()
    assert places.active() == {}


async def test_who_came_first_is_served_first_and_not_overtaken() -> None:
    places = Places(lambda: 1)
    slot = taken(places, want())
    first, second = waiting(places, want()), waiting(places, want())
    await turn()
    assert places.waiting == 2
    slot.release()
    assert places.take(want()) is None
    await turn()
    assert (first.done(), second.done()) == (True, False)
    handed = await first
    assert handed is not None
    handed.release()
    last = await second
    assert last is not None
    last.release()
    assert (places.active(), places.waiting) == ({}, 0)


async def test_who_waits_for_a_full_model_holds_no_one_up_at_another() -> None:
    places = Places(lambda: 1)
    taken(places, want(model="a", limit=None, of_model=1))
    blocked = waiting(places, want(model="a", limit=None, of_model=1))
    await turn()
    assert places.take(want(model="b", limit=None, of_model=1)) is not None
    free = waiting(places, want(model="c", limit=None, of_model=1))
    assert await asyncio.wait_for(free, 1) is not None
    blocked.cancel()


async def test_room_that_a_leaving_process_makes_goes_to_those_who_wait() -> None:
    processes = 2
    places = Places(lambda: processes)
    taken(places, want(limit=2))
    first = waiting(places, want(limit=2))
    await turn()
    processes = 1
    assert places.take(want(limit=2)) is None
    assert await asyncio.wait_for(first, 1) is not None


async def test_one_who_would_go_to_several_takes_one_place() -> None:
    places = Places(lambda: 1)
    at_p, at_q = taken(places, want("p")), taken(places, want("q"))
    task = waiting(places, want("p"), want("q"))
    await turn()
    assert places.waiting == 1
    at_q.release()
    at_p.release()
    slot = await task
    assert slot is not None
    assert slot.want.provider == "q"
    assert (places.active(), places.waiting) == ({("q", "m"): 1}, 0)


async def test_no_one_waits_where_too_many_do() -> None:
    places = Places(lambda: 1)
    taken(places, want())
    first = asyncio.ensure_future(places.wait([want()], queue_size=1, seconds=5))
    await turn()
    assert await places.wait([want()], queue_size=1, seconds=5) is None
    first.cancel()
    await turn()
    assert places.waiting == 0


async def test_who_has_waited_too_long_leaves_without_a_place() -> None:
    places = Places(lambda: 1)
    slot = taken(places, want())
    assert await places.wait([want()], queue_size=1, seconds=0.01) is None
    assert places.waiting == 0
    slot.release()
    assert places.active() == {}


@pytest.mark.parametrize("cancelled_first", [True, False])
async def test_a_cancelled_waiter_keeps_no_place_given_in_the_same_turn(
    cancelled_first: bool,
) -> None:
    places = Places(lambda: 1)
    slot = taken(places, want())
    gone, next_one = waiting(places, want()), waiting(places, want())
    await turn()
    if cancelled_first:
        gone.cancel()
        slot.release()
    else:
        slot.release()
        gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone
    handed = await asyncio.wait_for(next_one, 1)
    assert handed is not None
    handed.release()
    assert (places.active(), places.waiting) == ({}, 0)


async def test_a_place_given_in_the_turn_of_the_timeout_is_not_lost() -> None:
    loop = asyncio.get_running_loop()
    for give_s in (0.0099, 0.01, 0.0101):
        places = Places(lambda: 1)
        slot = taken(places, want())
        task = waiting(places, want(), seconds=0.01)
        loop.call_later(give_s, slot.release)
        handed = await task
        await asyncio.sleep(0.001)
        if handed is not None:
            handed.release()
        assert (places.active(), places.waiting) == ({}, 0)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["take", "wait", "release", "cancel", "turn"]),
        st.sampled_from("pq"),
        st.sampled_from("ab"),
        st.integers(0, 20),
    ),
    max_size=40,
)


@given(steps=STEPS, processes=st.integers(1, 3))
def test_counts_stay_within_the_slices_and_return_to_nought(
    steps: list[tuple[str, str, str, int]], processes: int
) -> None:
    async def run() -> None:
        places = Places(lambda: processes)
        of_provider, of_model = -(-5 // processes), -(-3 // processes)
        slots: list[Slot] = []
        tasks: list[asyncio.Task[Slot | None]] = []
        for step, provider, model, number in steps:
            wanted = want(provider, model, limit=5, of_model=3)
            if step == "take":
                slots += [slot] if (slot := places.take(wanted)) else []
            elif step == "wait":
                tasks.append(waiting(places, wanted))
            elif step == "release" and slots:
                slots.pop(number % len(slots)).release()
            elif step == "cancel" and tasks:
                tasks[number % len(tasks)].cancel()
            elif step == "turn":
                await turn()
            counts = places.active()
            assert all(0 < count <= of_model for count in counts.values())
            for name in "pq":
                assert sum(n for key, n in counts.items() if key[0] == name) <= of_provider
        while slots or tasks:
            for slot in slots:
                slot.release()
            await turn()
            done = [task for task in tasks if task.done()]
            tasks = [task for task in tasks if not task.done()]
            assert done or slots, "those who wait are never served"
            slots = [slot for task in done if not task.cancelled() and (slot := task.result())]
        assert (places.active(), places.waiting) == ({}, 0)

    asyncio.run(run())
