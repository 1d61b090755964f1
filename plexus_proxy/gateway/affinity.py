"""Where a conversation should go on: with the reasoning it carries, else where it was served last.

A preference is a wish: routing puts its targets in front, and the others follow as ever.
"""

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Protocol

from msgspec import Struct

from plexus_proxy.config.model import TargetGroup, TargetKey
from plexus_proxy.config.snapshot import Snapshot
from plexus_proxy.formats.format import Call
from plexus_proxy.gateway.auth import Caller
from plexus_proxy.gateway.exchange import Exchange
from plexus_proxy.routing.aliases import groups_of
from plexus_proxy.routing.bindings import Bindings, Unknown, key_of, keys_of
from plexus_proxy.routing.router import Route
from plexus_proxy.routing.selectors import Measured
from plexus_proxy.routing.sticky import carries_state, degraded, pins_of, session_of
from plexus_proxy.upstream.attempt import Attempt

_COMPARED = 8


class _Measurements(Protocol):
    def measured(self, key: TargetKey) -> Measured | None: ...


class Preference(Struct, frozen=True, kw_only=True, gc=False):
    """Of one request."""

    keys: tuple[str, ...] = ()
    """Under which its conversation is noted; none: it has no name."""
    owner: str = ""
    alias: str = ""
    """Whose conversation it is, and with which model; empty: there is nothing to note."""
    pins: Sequence[str] = ()
    """Providers whose state it carries."""
    bound: TargetKey | None = None
    """The target that served it last."""
    is_firm: bool = False
    """It carries state that only the bound target can read."""

    @property
    def wishes(self) -> Sequence[TargetKey | str]:
        """For Router.route. Of a provider's targets the one that served last comes first."""
        if self.bound is None:
            return self.pins
        provider = self.bound[0]
        place = self.pins.index(provider) if provider in self.pins else len(self.pins)
        return (*self.pins[:place], self.bound, *self.pins[place:])


NONE = Preference()


class Affinity:
    """Knows what requests prefer, and learns who served them."""

    def __init__(self, bindings: Bindings, measurements: _Measurements) -> None:
        self._bindings = bindings
        self._measurements = measurements

    async def preference(
        self, caller: Caller, headers: Mapping[str, str], call: Call, snapshot: Snapshot
    ) -> Preference:
        """What a request prefers. Models and groups with a single target, and targets that the
        client named itself, leave no choice."""
        named = groups_of(call.model, snapshot)
        if named is None or not _has_choice(named[1]):
            return NONE
        name = named[0]
        alias = snapshot.config.models[name]
        state = carries_state(call)
        pins = pins_of(call)
        owner = caller.owner
        session = session_of(headers, call)
        if session is None:
            return Preference(owner=owner, alias=name, pins=pins)
        keys = sought = keys_of(owner, name, session)
        if state and call.conversation and call.conversation != session.text:
            sought = key_of(owner, name, call.conversation), *keys
        bound: TargetKey | Unknown | None = None
        if state or (alias.sticky_session and session.prefers):
            bound = self._bindings.bound_now(*sought, carries_state=state)
            if bound is Unknown.UNKNOWN:
                bound = await self._bindings.find(*sought, carries_state=state)
        return Preference(keys=keys, owner=owner, alias=name, pins=pins, bound=bound, is_firm=state)

    def has_slowed_down(self, preference: Preference, route: Route) -> bool:
        """The bound target has become so slow that its caches are no gain."""
        bound = preference.bound
        if bound is None or preference.is_firm:
            return False
        measured = self._measurements.measured
        others = (each.key for each in route.candidates if each.key != bound)
        return degraded(measured(bound), [measured(key) for key in islice(others, _COMPARED)])

    def served(self, preference: Preference, exchange: Exchange, attempt: Attempt) -> None:
        """A target has answered. One that took what the bound one had no room for is not noted;
        it was given a chance if there was a place for it in the end. An answer that the provider
        keeps is noted by its own name too: the next request may say no other."""
        target, kept = attempt.candidate.key, attempt.observer.kept_id
        if kept and preference.alias and attempt.candidate.format == exchange.client_format:
            key = key_of(preference.owner, preference.alias, kept)
            self._bindings.served(key, target)
        if preference.keys:
            tried = {attempt.candidate.key for attempt in exchange.attempts}
            spilled = preference.bound in exchange.full_targets - tried
            self._bindings.served(preference.keys[0], target, spilled=spilled)


def _has_choice(groups: Sequence[TargetGroup]) -> bool:
    targets = [target for group in groups for target in group.targets]
    return len(targets) > 1 or any(target.alias for target in targets)
