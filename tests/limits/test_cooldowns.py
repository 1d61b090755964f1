"""Which targets are left alone, and until when. Instants are seconds here, as in a script."""

import pytest

from plexus_proxy.config.model import CooldownPolicy
from plexus_proxy.limits.cooldowns import (
    LAST_RESORT_MS,
    MAX_STATED_S,
    PROBE_MS,
    Cooldown,
    Cooldowns,
)
from plexus_proxy.limits.cooling import Cause, Cooling

POLICY = CooldownPolicy(initial_minutes=2, max_minutes=20)
MINUTE = 60_000
DAY_S = 86_400.0


def cooling(
    cause: Cause = "server",
    *,
    hard: bool = False,
    account_wide: bool = False,
    seconds: float | None = None,
) -> Cooling:
    return Cooling(cause=cause, hard=hard, account_wide=account_wide, seconds=seconds)


def fail(
    cooldowns: Cooldowns,
    now_ms: int,
    told: Cooling | None = None,
    *,
    started_ms: int | None = None,
    initial_s: float | None = None,
    model: str = "m",
) -> Cooldown | None:
    return cooldowns.failed(
        "p",
        model,
        told or cooling(),
        POLICY,
        started_ms=now_ms if started_ms is None else started_ms,
        now_ms=now_ms,
        initial_s=initial_s,
    )


@pytest.mark.parametrize(
    ("told", "initial_s", "minutes"),
    [
        (cooling(), None, [2, 4, 8, 16, 20, 20]),
        (cooling("network"), None, [2, 4, 8]),
        (cooling("timeout"), 30.0, [0.5, 1, 2]),
        (cooling("rate_limit", seconds=90), None, [1.5, 1.5]),
        (cooling("auth"), None, [20, 20]),
        (cooling("permission"), None, [20]),
        (cooling("billing"), None, [20]),
        (cooling("quota"), 1.0, [20]),
        (cooling("quota", seconds=365 * DAY_S), None, [MAX_STATED_S / 60]),
        (cooling(), 3600.0, [60, 60]),
    ],
)
def test_how_long_failures_in_a_row_cool(
    told: Cooling, initial_s: float | None, minutes: list[float]
) -> None:
    cooldowns, now_ms = Cooldowns(), 0
    for each in minutes:
        entry = fail(cooldowns, now_ms, told, initial_s=initial_s)
        assert entry is not None
        assert entry.until_ms - now_ms == each * MINUTE
        now_ms = entry.until_ms


def test_a_target_whose_first_cooldown_is_nought_does_not_cool_unless_its_provider_says_so() -> (
    None
):
    cooldowns = Cooldowns()
    assert fail(cooldowns, 0, initial_s=0) is None
    assert cooldowns.idle
    assert fail(cooldowns, 0, cooling(seconds=5), initial_s=0) is not None


def test_a_hundred_failures_in_a_row_are_capped() -> None:
    cooldowns, now_ms = Cooldowns(), 0
    for _ in range(100):
        entry = fail(cooldowns, now_ms)
        assert entry is not None
        assert entry.until_ms - now_ms <= 20 * MINUTE
        now_ms = entry.until_ms


def test_attempts_of_the_same_incident_count_once() -> None:
    cooldowns = Cooldowns()
    fail(cooldowns, 1000, started_ms=0)
    entry = fail(cooldowns, 1500, started_ms=900)
    assert entry is not None
    assert entry.failures == 1
    again = fail(cooldowns, entry.until_ms, started_ms=entry.until_ms)
    assert again is not None
    assert again.failures == 2


def test_a_shorter_time_does_not_shorten() -> None:
    cooldowns = Cooldowns()
    fail(cooldowns, 0, cooling(seconds=600))
    entry = fail(cooldowns, 1000, cooling(seconds=5))
    assert entry is not None
    assert entry.until_ms == 600_000
    assert entry.failures == 2


def test_a_hard_time_stays_hard_when_more_is_added_to_it() -> None:
    cooldowns = Cooldowns()
    fail(cooldowns, 0, cooling(hard=True, seconds=5))
    fail(cooldowns, 1000, cooling(seconds=600))
    assert not cooldowns.probe("p", "m", 4000)
    assert cooldowns.probe("p", "m", 5000)


def test_a_hard_time_within_a_soft_one_is_kept() -> None:
    cooldowns = Cooldowns()
    fail(cooldowns, 0, cooling(seconds=600))
    fail(cooldowns, 1000, cooling(hard=True, seconds=30))
    assert not cooldowns.probe("p", "m", 30_000)
    assert cooldowns.probe("p", "m", 31_000)


def test_what_is_hard_within_a_soft_time_is_called_by_its_name() -> None:
    """Clients are told to come back for a quota, not that the target is broken."""
    cooldowns = Cooldowns()
    fail(cooldowns, 0)
    fail(cooldowns, 1000, cooling("rate_limit", hard=True, seconds=40))
    entry = cooldowns.blocking("p", "m", 2000)
    assert entry is not None
    assert (entry.until_ms, entry.hard_until_ms) == (2 * MINUTE, 41_000)
    assert entry.cause == "rate_limit"


def test_only_the_probe_itself_ends_a_probe() -> None:
    cooldowns = Cooldowns()
    fail(cooldowns, 0, cooling(seconds=10))
    assert cooldowns.admit("p", "m", 20_000)
    cooldowns.abandoned("p", "m", started_ms=5000)  # an older attempt ends
    cooldowns.opened("p", "m", started_ms=5000)
    assert not cooldowns.admit("p", "m", 21_000)
    cooldowns.opened("p", "m", started_ms=20_000)
    assert cooldowns.admit("p", "m", 21_000)


@pytest.mark.parametrize("key", ["m", "a/b", "a:b", "gpt-4"])
def test_only_the_very_same_model_cools(key: str) -> None:
    cooldowns = Cooldowns()
    fail(cooldowns, 0, model=key)
    assert not cooldowns.admit("p", key, 1)
    for other in (f"{key}o", key[:-1], "a", "b", key.upper()):
        assert cooldowns.admit("p", other, 1)
    assert cooldowns.admit("q", key, 1)


def test_what_is_account_wide_blocks_all_models_of_that_provider_alone() -> None:
    cooldowns = Cooldowns()
    fail(cooldowns, 0, cooling("billing", account_wide=True))
    assert not cooldowns.admit("p", "m", 1)
    assert not cooldowns.admit("p", "x:y/z", 1)
    assert cooldowns.admit("p2", "m", 1)


def test_a_hard_entry_is_named_before_a_longer_soft_one() -> None:
    cooldowns = Cooldowns()
    fail(cooldowns, 0, cooling(seconds=600))
    fail(cooldowns, 0, cooling(seconds=5, hard=True, account_wide=True))
    found = cooldowns.blocking("p", "m", 1)
    assert found is not None
    assert found.model == ""
    after = cooldowns.blocking("p", "m", 5000)
    assert after is not None
    assert after.model == "m"


def test_half_open_one_goes_first_and_all_follow_its_content() -> None:
    cooldowns = Cooldowns()
    fail(cooldowns, 0)
    now_ms = 2 * MINUTE
    assert [cooldowns.admit("p", "m", now_ms) for _ in range(3)] == [True, False, False]
    cooldowns.opened("p", "m")
    assert [cooldowns.admit("p", "m", now_ms) for _ in range(3)] == [True, True, True]
    cooldowns.succeeded("p", "m", started_ms=now_ms)
    assert cooldowns.idle


@pytest.mark.parametrize("wait_ms", [0, PROBE_MS])
def test_the_next_may_try_when_a_probe_was_given_up_or_is_not_heard_of(wait_ms: int) -> None:
    cooldowns = Cooldowns()
    fail(cooldowns, 0)
    now_ms = 2 * MINUTE
    assert cooldowns.admit("p", "m", now_ms)
    if not wait_ms:
        cooldowns.abandoned("p", "m")
    assert cooldowns.admit("p", "m", now_ms + wait_ms)
    assert not cooldowns.admit("p", "m", now_ms + wait_ms)


def test_a_failing_probe_cools_for_twice_as_long() -> None:
    cooldowns = Cooldowns()
    fail(cooldowns, 0)
    now_ms = 2 * MINUTE
    assert cooldowns.admit("p", "m", now_ms)
    entry = fail(cooldowns, now_ms + 10, started_ms=now_ms)
    assert entry is not None
    assert entry.until_ms == now_ms + 10 + 4 * MINUTE
    assert not cooldowns.admit("p", "m", now_ms + 20)


def test_a_failure_after_content_closes_what_was_open() -> None:
    cooldowns = Cooldowns()
    fail(cooldowns, 0)
    now_ms = 2 * MINUTE
    assert cooldowns.admit("p", "m", now_ms)
    cooldowns.opened("p", "m")
    fail(cooldowns, now_ms, started_ms=now_ms)
    later_ms = now_ms + 4 * MINUTE
    assert [cooldowns.admit("p", "m", later_ms) for _ in range(2)] == [True, False]


def test_a_last_resort_is_tried_once_a_second_unless_it_is_hard() -> None:
    cooldowns = Cooldowns()
    fail(cooldowns, 0)
    assert cooldowns.probe("p", "m", 10)
    assert not cooldowns.probe("p", "m", 10 + LAST_RESORT_MS - 1)
    assert cooldowns.probe("p", "m", 10 + LAST_RESORT_MS)
    fail(cooldowns, 2000, cooling(hard=True), model="x")
    assert not cooldowns.probe("p", "x", 5000)


def test_success_ends_what_was_noted_before_it_began_and_no_more() -> None:
    cooldowns = Cooldowns()
    fail(cooldowns, 1000)
    cooldowns.succeeded("p", "m", started_ms=999)
    assert not cooldowns.idle
    cooldowns.succeeded("p", "m", started_ms=1000)
    assert cooldowns.idle
    entry = fail(cooldowns, 2000)
    assert entry is not None
    assert entry.failures == 1


@pytest.mark.parametrize(
    ("cause", "quota", "credential"),
    [
        ("auth", False, True),
        ("permission", False, True),
        ("billing", True, True),
        ("quota", True, True),
        ("rate_limit", True, False),
        ("server", False, False),
        ("overloaded", False, False),
    ],
)
def test_what_ends_with_new_allowance_and_with_a_new_credential(
    cause: Cause, quota: bool, credential: bool
) -> None:
    for recover, ends in (("quota_recovered", quota), ("credential_changed", credential)):
        cooldowns = Cooldowns()
        fail(cooldowns, 0, cooling(cause, account_wide=True))
        getattr(cooldowns, recover)("q")
        assert not cooldowns.idle
        getattr(cooldowns, recover)("p")
        assert cooldowns.idle is ends


@pytest.mark.parametrize(
    ("model", "started_ms", "left"),
    [
        (None, None, {("q", "")}),
        (None, 1999, {("p", "n"), ("q", "")}),
        ("m", 2000, {("p", "n"), ("q", "")}),
        ("m", 999, {("p", ""), ("p", "m"), ("p", "n"), ("q", "")}),
        ("other", 2000, {("p", "m"), ("p", "n"), ("q", "")}),
    ],
)
def test_allowance_that_one_model_is_told_of_ends_what_is_its_own_and_older(
    model: str | None, started_ms: int | None, left: set[tuple[str, str]]
) -> None:
    cooldowns = Cooldowns()
    for key, since_ms in {
        ("p", ""): 1000,
        ("p", "m"): 1000,
        ("p", "n"): 2000,
        ("q", ""): 0,
    }.items():
        told = cooling("quota", account_wide=not key[1])
        cooldowns.failed(*key, told, POLICY, started_ms=since_ms, now_ms=since_ms)
    cooldowns.quota_recovered("p", model, started_ms=started_ms)
    assert set(cooldowns.keys()) == left


def test_what_the_operator_takes_out_stays_out_for_its_time_and_then_is_over() -> None:
    cooldowns = Cooldowns()
    cooldowns.take_out("p", "m", until_ms=1000, now_ms=0)
    cooldowns.succeeded("p", "m", started_ms=500)
    cooldowns.quota_recovered("p")
    cooldowns.credential_changed("p")
    assert not cooldowns.admit("p", "m", 999)
    assert not cooldowns.probe("p", "m", 999)
    assert cooldowns.admit("p", "m", 1000)
    cooldowns.succeeded("p", "m", started_ms=1000)
    assert cooldowns.idle


def test_a_straggler_does_not_shorten_what_the_operator_wants() -> None:
    """Asked for by name the target is tried, and its answer ends a cooldown of its own."""
    cooldowns = Cooldowns()
    cooldowns.take_out("p", "m", until_ms=MINUTE, now_ms=500)
    assert fail(cooldowns, 600, started_ms=0) is not None
    cooldowns.succeeded("p", "m", started_ms=700)
    entry = cooldowns.blocking("p", "m", MINUTE - 1)
    assert entry is not None
    assert entry.is_hard(MINUTE - 1)
    cooldowns.succeeded("p", "m", started_ms=MINUTE)
    assert cooldowns.idle


def test_a_straggler_of_what_was_taken_out_cools_no_less_than_at_first() -> None:
    cooldowns = Cooldowns()
    cooldowns.take_out("p", "m", until_ms=1000, now_ms=500)
    entry = fail(cooldowns, 600, started_ms=0)
    assert entry is not None
    assert entry.until_ms == 600 + 2 * MINUTE


@pytest.mark.parametrize(
    ("provider", "model", "left"),
    [
        (None, None, set()),
        ("p", None, {("q", "gpt-4")}),
        ("p", "gpt-4", {("p", ""), ("p", "gpt-4o"), ("p", "a/b:c"), ("q", "gpt-4")}),
        ("p", "", {("p", "gpt-4"), ("p", "gpt-4o"), ("p", "a/b:c"), ("q", "gpt-4")}),
        ("p", "a/b:c", {("p", ""), ("p", "gpt-4"), ("p", "gpt-4o"), ("q", "gpt-4")}),
        ("p", "a/b", None),
    ],
)
def test_exactly_what_is_named_is_cleared(
    provider: str | None, model: str | None, left: set[tuple[str, str]] | None
) -> None:
    changed: list[tuple[str, str]] = []
    cooldowns = Cooldowns(changed.append)
    for key in [("p", ""), ("p", "gpt-4"), ("p", "gpt-4o"), ("p", "a/b:c"), ("q", "gpt-4")]:
        cooldowns.take_out(*key, until_ms=1000, now_ms=0)
    before = set(cooldowns.keys())
    changed.clear()
    expected = before if left is None else left
    assert cooldowns.clear(provider, model) == len(before - expected)
    assert set(cooldowns.keys()) == expected
    assert set(changed) == before - expected


def test_what_is_active_is_listed_in_the_order_of_its_end() -> None:
    cooldowns = Cooldowns()
    for model, until_ms in (("late", 3000), ("over", 1000), ("soon", 2000)):
        cooldowns.take_out("p", model, until_ms=until_ms, now_ms=0)
    assert [entry.model for entry in cooldowns.active(1000)] == ["soon", "late"]


def test_what_another_process_makes_of_a_half_open_target_closes_it() -> None:
    cooldowns, other = Cooldowns(), Cooldowns()
    fail(cooldowns, 0)
    now_ms = 2 * MINUTE
    assert cooldowns.admit("p", "m", now_ms)
    cooldowns.opened("p", "m")
    other.learn(("p", "m"), cooldowns.entry(("p", "m")))
    cooldowns.learn(("p", "m"), fail(other, now_ms))
    assert not cooldowns.admit("p", "m", now_ms + 1)
    cooldowns.learn(("p", "m"), None)
    assert cooldowns.admit("p", "m", now_ms + 1)
