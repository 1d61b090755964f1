"""Cooldowns against a model of their promises, under any order of events."""

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from plexus_proxy.config.model import CooldownPolicy
from plexus_proxy.limits.cooldowns import Cooldowns
from plexus_proxy.limits.cooling import Cooling

FIRST_MS, LONGEST_MS = 60_000, 480_000
POLICY = CooldownPolicy(initial_minutes=1, max_minutes=8)
TARGETS = [("p", "gpt-4"), ("p", "gpt-4o"), ("p", "a/b:c"), ("q", "gpt-4")]
targets = st.sampled_from(TARGETS)
keys = st.sampled_from([*TARGETS, ("p", ""), ("q", "")])

Key = tuple[str, str]


class Known:
    """What must hold of one entry."""

    def __init__(
        self, until_ms: int, since_ms: int, failures: int, hard_ms: int, own: bool
    ) -> None:
        self.until_ms = until_ms
        self.since_ms = since_ms
        self.failures = failures
        self.hard_ms = hard_ms
        self.own = own
        """The operator's."""
        self.probed_ms: int | None = None
        self.is_open = False

    def blocks(self, now_ms: int) -> bool:
        probed = self.probed_ms is not None and now_ms - self.probed_ms < 60_000
        return now_ms < self.until_ms or probed


class CooldownMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.cooldowns = Cooldowns()
        self.now_ms = 1_000_000
        self.known: dict[Key, Known] = {}
        self.resort_ms: dict[Key, int] = {}

    def of(self, at: Key) -> list[Known]:
        keys = (at, (at[0], ""))
        return [self.known[key] for key in keys if key in self.known]

    def any_hard(self, entries: list[Known]) -> bool:
        return any(known.hard_ms > self.now_ms for known in entries)

    def begin(self, at: Key) -> None:
        for known in self.of(at):
            if not known.is_open:
                known.probed_ms = self.now_ms

    def forget(self, key: Key) -> None:
        self.known.pop(key, None)
        self.resort_ms.pop(key, None)

    @rule(ms=st.sampled_from([1, 400, 1000, 59_999, 60_000, 120_000, 480_000]))
    def time_passes(self, ms: int) -> None:
        self.now_ms += ms

    @rule(
        at=targets,
        ago_ms=st.sampled_from([0, 0, 0, 500, 100_000]),
        wide=st.booleans(),
        hard=st.booleans(),
        stated_s=st.sampled_from([None, None, 1.0, 90.0, 3000.0]),
    )
    def failed(self, at: Key, ago_ms: int, wide: bool, hard: bool, stated_s: float | None) -> None:
        told = Cooling(cause="server", hard=hard, account_wide=wide, seconds=stated_s)
        started_ms = self.now_ms - ago_ms
        entry = self.cooldowns.failed(*at, told, POLICY, started_ms=started_ms, now_ms=self.now_ms)
        for known in self.of(at):
            if known.probed_ms is not None and started_ms >= known.probed_ms:
                known.probed_ms = None
        key = at[0], "" if wide else at[1]
        known = self.known.get(key)
        same = known is not None and started_ms < known.since_ms
        count = (known.failures if known else 0) + (not same)
        if stated_s is None:
            length_ms = min(FIRST_MS << max(0, min(count, 10) - 1), LONGEST_MS)
        else:
            length_ms = int(stated_s * 1000)
        assert entry is not None
        assert entry.key == key
        assert entry.failures == count, "the same incident counts once, another one counts"
        if known is None:
            known = self.known[key] = Known(0, self.now_ms, count, 0, False)
        if hard:
            known.hard_ms = max(known.hard_ms, self.now_ms + length_ms)
        if self.now_ms + length_ms > known.until_ms:
            known.until_ms = self.now_ms + length_ms
            known.own = False
        known.failures = count
        known.since_ms = known.since_ms if same else self.now_ms
        known.is_open = False
        assert entry.until_ms == known.until_ms

    @rule(at=targets)
    def admit(self, at: Key) -> None:
        expected = not any(known.blocks(self.now_ms) for known in self.of(at))
        assert self.cooldowns.admit(*at, self.now_ms) is expected
        if expected:
            self.begin(at)

    @rule(at=targets)
    def probe(self, at: Key) -> None:
        blocking = [known for known in self.of(at) if known.blocks(self.now_ms)]
        found = self.cooldowns.probe(*at, self.now_ms)
        if not blocking:
            assert found
            self.begin(at)
        elif found:
            assert not self.any_hard(blocking), "what is hard is never probed"
            last_ms = self.resort_ms.get(at)
            assert last_ms is None or self.now_ms - last_ms >= 1000
            self.resort_ms[at] = self.now_ms
        else:
            soon = self.now_ms - self.resort_ms.get(at, 0) < 1000
            assert soon or self.any_hard(blocking)

    @rule(at=targets)
    def opened(self, at: Key) -> None:
        self.cooldowns.opened(*at)
        for known in self.of(at):
            if known.probed_ms is not None:
                known.probed_ms, known.is_open = None, True

    @rule(at=targets)
    def abandoned(self, at: Key) -> None:
        self.cooldowns.abandoned(*at)
        for known in self.of(at):
            known.probed_ms = None

    @rule(at=targets, ago_ms=st.sampled_from([0, 500, 100_000]))
    def succeeded(self, at: Key, ago_ms: int) -> None:
        started_ms = self.now_ms - ago_ms
        self.cooldowns.succeeded(*at, started_ms=started_ms)
        for key in (at, (at[0], "")):
            known = self.known.get(key)
            if known and started_ms >= (known.until_ms if known.own else known.since_ms):
                self.forget(key)

    @rule(key=keys)
    def cleared(self, key: Key) -> None:
        assert self.cooldowns.clear(*key) == (key in self.known)
        self.forget(key)

    @rule(key=keys, ms=st.sampled_from([500, 200_000]))
    def taken_out(self, key: Key, ms: int) -> None:
        self.cooldowns.take_out(*key, self.now_ms + ms, self.now_ms)
        before = self.known.get(key)
        until_ms = max(self.now_ms + ms, before.until_ms if before else 0)
        known = self.known[key] = Known(until_ms, self.now_ms, 0, until_ms, True)
        known.probed_ms = before.probed_ms if before else None

    @invariant()
    def exactly_what_is_known_blocks(self) -> None:
        assert set(self.cooldowns.keys()) == set(self.known)
        active = {e.key: e.is_hard(self.now_ms) for e in self.cooldowns.active(self.now_ms)}
        assert active == {
            key: known.hard_ms > self.now_ms
            for key, known in self.known.items()
            if known.until_ms > self.now_ms
        }
        for at in TARGETS:
            blocked = any(known.blocks(self.now_ms) for known in self.of(at))
            assert (self.cooldowns.blocking(*at, self.now_ms) is not None) is blocked


TestCooldowns = CooldownMachine.TestCase
