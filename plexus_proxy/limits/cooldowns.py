"""Which targets are left alone, and until when. Pure: no clock, no I/O.

An entry is made by a failure and gets longer with each further one in a row. While it lasts the
target is *cooling*. A soft entry may still be probed as a last resort, a hard one never. Once its
time is over the entry stays, *half-open*: one request goes first, and all follow when it brings
content. A whole answer takes the entry away, another failure makes it cool down for longer.
"""

from collections.abc import Callable, Iterator

from msgspec import Struct, structs

from plexus_proxy.config.model import CooldownPolicy, TargetKey
from plexus_proxy.limits.cooling import Cause, Cooling, Source

MAX_STATED_S = 8 * 86400.0
"""No provider is believed for longer: a plan's weekly window, and a day."""
LAST_RESORT_MS = 1000
"""A target that cools down is probed at most this often, in each process."""
PROBE_MS = 60_000
"""A probe that has not reported by then is forgotten."""
_MAX_DOUBLINGS = 30
_TERMINAL: frozenset[Cause] = frozenset({"auth", "permission", "billing", "quota"})
"""Nothing gets better by trying again soon."""
_OF_ALLOWANCE: frozenset[Cause] = frozenset({"quota", "billing", "rate_limit"})
OF_CREDENTIAL: frozenset[Cause] = frozenset({"auth", "permission", "billing", "quota"})
"""Another way to sign in may be free of it."""


class Cooldown(Struct, frozen=True, kw_only=True, gc=False):
    """One entry. Instants are epoch milliseconds."""

    provider: str
    model: str
    """"" for all models of the provider."""
    until_ms: int
    since_ms: int
    """When its last failure was noted."""
    failures: int
    """In a row."""
    cause: Cause
    hard_until_ms: int
    """Until then the target is not even probed."""
    source: Source
    message: str

    def is_hard(self, now_ms: int) -> bool:
        return self.hard_until_ms > now_ms

    @property
    def key(self) -> TargetKey:
        return self.provider, self.model


class Cooldowns:
    """All entries, as this process knows them."""

    def __init__(self, changed: Callable[[TargetKey], None] = lambda key: None) -> None:
        """`changed` hears of each entry that was made, altered or taken away here."""
        self._entries: dict[TargetKey, Cooldown] = {}
        self._probing: dict[TargetKey, int] = {}
        """Half-open targets that a request is trying → since when."""
        self._open: set[TargetKey] = set()
        """Half-open targets whose probe has brought content."""
        self._last_resort: dict[TargetKey, int] = {}
        self.changed = changed

    @property
    def idle(self) -> bool:
        """There is no entry at all: nobody need ask."""
        return not self._entries

    def blocking(self, provider: str, model: str, now_ms: int) -> Cooldown | None:
        """What keeps a target from being tried; None: it may be. The one that is hard for longer
        comes first, then the one that lasts longer."""
        found: Cooldown | None = None
        for entry in self._of(provider, model):
            if entry.until_ms <= now_ms and not self._is_probed(entry.key, now_ms):
                continue
            if found is None or (entry.hard_until_ms, entry.until_ms) > (
                found.hard_until_ms,
                found.until_ms,
            ):
                found = entry
        return found

    def admit(self, provider: str, model: str, now_ms: int) -> bool:
        """Whether an attempt may begin now. Of a half-open target only the first may, until it has
        reported: see `opened`, `succeeded`, `failed` and `abandoned`."""
        if self.blocking(provider, model, now_ms) is not None:
            return False
        for entry in self._of(provider, model):
            if entry.key not in self._open:
                self._probing[entry.key] = now_ms
        return True

    def probe(self, provider: str, model: str, now_ms: int) -> bool:
        """Whether a target that cools down softly may be tried because nothing else is left: once
        a second."""
        entry = self.blocking(provider, model, now_ms)
        if entry is None:
            return self.admit(provider, model, now_ms)
        key = provider, model
        if (
            entry.is_hard(now_ms)
            or now_ms - self._last_resort.get(key, -LAST_RESORT_MS) < LAST_RESORT_MS
        ):
            return False
        self._last_resort[key] = now_ms
        return True

    def failed(
        self,
        provider: str,
        model: str,
        cooling: Cooling,
        policy: CooldownPolicy,
        *,
        started_ms: int,
        now_ms: int,
        initial_s: float | None = None,
    ) -> Cooldown | None:
        """Make or lengthen the entry that a fault asks for; None if it asks for none.

        An attempt that began before the present entry was made tells of the same incident, and
        does not count as another failure. `initial_s` is the target's own first cooldown.
        """
        self.abandoned(provider, model, started_ms=started_ms)
        key = provider, "" if cooling.account_wide else model
        known = self._entries.get(key)
        same = known is not None and started_ms < known.since_ms
        failures = (known.failures if known else 0) + (not same)
        seconds = _seconds(cooling, policy, failures, initial_s)
        if seconds is None:
            return None
        until_ms = now_ms + int(seconds * 1000)
        hard_until_ms = until_ms if cooling.hard else 0
        self._open.discard(key)
        if known is not None and known.until_ms >= until_ms:
            if same and known.hard_until_ms >= hard_until_ms:
                return known
            entry = structs.replace(
                known, failures=failures, since_ms=known.since_ms if same else now_ms
            )
            if hard_until_ms > known.hard_until_ms:  # that is what counts as long as it lasts
                entry = structs.replace(
                    entry,
                    hard_until_ms=hard_until_ms,
                    cause=cooling.cause,
                    source=cooling.source,
                    message=cooling.message,
                )
        else:
            held = known is not None and known.cause == "operator" and known.is_hard(now_ms)
            entry = Cooldown(
                provider=provider,
                model=key[1],
                until_ms=until_ms,
                since_ms=known.since_ms if known is not None and same else now_ms,
                failures=failures,
                cause="operator" if held and not cooling.hard else cooling.cause,
                hard_until_ms=max(known.hard_until_ms if known else 0, hard_until_ms),
                source=cooling.source,
                message=cooling.message,
            )
        self._put(entry)
        return entry

    def opened(self, provider: str, model: str, *, started_ms: int | None = None) -> None:
        """An attempt has brought content: a half-open target that it probes is free for all.
        `started_ms`: None for the probe itself."""
        if self._entries:
            for entry in self._of(provider, model):
                if self._report(entry.key, started_ms):
                    self._open.add(entry.key)

    def succeeded(self, provider: str, model: str, *, started_ms: int) -> None:
        """An attempt has brought a whole answer: what was noted before it began is over; what the
        operator wants is only over in its time."""
        if self._entries:
            for entry in list(self._of(provider, model)):
                over_ms = entry.hard_until_ms if entry.cause == "operator" else entry.since_ms
                if started_ms >= over_ms:
                    self._take_away(entry.key)

    def abandoned(self, provider: str, model: str, *, started_ms: int | None = None) -> None:
        """An attempt has ended without saying anything about its target; if it was the probe, the
        next one may be. `started_ms`: None for the probe itself."""
        if self._probing:
            for key in ((provider, model), (provider, "")):
                self._report(key, started_ms)

    def _report(self, key: TargetKey, started_ms: int | None) -> bool:
        """Whether an attempt is the probe of a half-open target, which then is over."""
        since_ms = self._probing.get(key)
        if since_ms is None or (started_ms is not None and started_ms < since_ms):
            return False
        del self._probing[key]
        return True

    def quota_recovered(
        self, provider: str, model: str | None = None, *, started_ms: int | None = None
    ) -> None:
        """The provider is known to have allowance again: for all its models, or for one and what
        concerns the account. `started_ms`: when the attempt began that has told so; what was noted
        after it stays."""
        for entry in [*self._entries.values()]:
            if (
                entry.provider == provider
                and entry.cause in _OF_ALLOWANCE
                and (model is None or entry.model in ("", model))
                and (started_ms is None or started_ms >= entry.since_ms)
            ):
                self._take_away(entry.key)

    def credential_changed(self, provider: str) -> None:
        """The operator has changed how we sign in there."""
        for entry in [*self._entries.values()]:
            if entry.provider == provider and entry.cause in OF_CREDENTIAL:
                self._take_away(entry.key)

    def take_out(self, provider: str, model: str, until_ms: int, now_ms: int) -> Cooldown:
        """The operator wants a target left alone, at least until then."""
        known = self._entries.get((provider, model))
        until_ms = max(until_ms, known.until_ms if known else 0)
        entry = Cooldown(
            provider=provider,
            model=model,
            until_ms=until_ms,
            since_ms=now_ms,
            failures=0,
            cause="operator",
            hard_until_ms=until_ms,
            source="default",
            message="",
        )
        self._put(entry)
        return entry

    def clear(self, provider: str | None = None, model: str | None = None) -> int:
        """Take entries away: all, a provider's, or exactly one. How many there were."""
        keys = [
            key
            for key in self._entries
            if provider in (None, key[0]) and (model is None or model == key[1])
        ]
        for key in keys:
            self._take_away(key)
        return len(keys)

    def active(self, now_ms: int) -> list[Cooldown]:
        """What cools down now, the first to end in front."""
        found = [entry for entry in self._entries.values() if entry.until_ms > now_ms]
        return sorted(found, key=lambda entry: (entry.until_ms, entry.key))

    def entry(self, key: TargetKey) -> Cooldown | None:
        return self._entries.get(key)

    def keys(self) -> list[TargetKey]:
        return list(self._entries)

    def learn(self, key: TargetKey, entry: Cooldown | None) -> None:
        """What another process has made of an entry."""
        if entry is None:
            self._forget(key)
        elif entry != self._entries.get(key):
            self._open.discard(key)
            self._entries[key] = entry

    def _of(self, provider: str, model: str) -> Iterator[Cooldown]:
        for key in ((provider, model), (provider, "")):
            if (entry := self._entries.get(key)) is not None:
                yield entry

    def _is_probed(self, key: TargetKey, now_ms: int) -> bool:
        since_ms = self._probing.get(key)
        return since_ms is not None and now_ms - since_ms < PROBE_MS

    def _put(self, entry: Cooldown) -> None:
        self._open.discard(entry.key)
        self._entries[entry.key] = entry
        self.changed(entry.key)

    def _take_away(self, key: TargetKey) -> None:
        self._forget(key)
        self.changed(key)

    def _forget(self, key: TargetKey) -> None:
        self._entries.pop(key, None)
        self._probing.pop(key, None)
        self._last_resort.pop(key, None)
        self._open.discard(key)


def _seconds(
    cooling: Cooling, policy: CooldownPolicy, failures: int, initial_s: float | None
) -> float | None:
    """How long to leave a target alone: as its provider states, else the first time doubled with
    each failure in a row. None: not at all."""
    if cooling.seconds is not None:
        return min(cooling.seconds, MAX_STATED_S)
    longest = policy.max_minutes * 60
    if cooling.cause in _TERMINAL:
        return longest
    first = policy.initial_minutes * 60 if initial_s is None else initial_s
    if not first:
        return None
    return min(first * 2 ** min(max(failures, 1) - 1, _MAX_DOUBLINGS), max(longest, first))
