"""A request → its candidates in the order they are to be tried: what changes from one to the next.

What the config decides stands in a plan. Here targets that cool down are set aside, selectors
order the others group by group, and those a request prefers go in front.
"""

from collections.abc import Collection, Mapping, Sequence
from random import Random
from typing import Protocol

from msgspec import Struct

from plexus_proxy.config.model import Alias, TargetKey
from plexus_proxy.config.snapshot import Snapshot
from plexus_proxy.routing import selectors
from plexus_proxy.routing.aliases import Candidate, Planner
from plexus_proxy.routing.kinds import RequestKind


class View(selectors.View, Protocol):
    """What is known of targets at this moment, cooldowns too."""

    @property
    def any_cooling(self) -> bool:
        """False: no target at all, so that none has to be asked about."""
        ...

    def is_cooling(self, provider: str, model: str) -> bool:
        """Whether a target is to be left alone."""
        ...


class Route(Struct, frozen=True, kw_only=True, gc=False):
    """Where a request may go. There is a candidate, or one that cools down, or both."""

    canonical_model: str
    """The primary name of the alias; a `direct/<provider>/<model>` stands for itself."""
    alias: Alias | None
    candidates: tuple[Candidate, ...]
    """In the order they are to be tried, each target once."""
    cooling: tuple[Candidate, ...]
    """Those that could be candidates but for a cooldown, by group, as the config lists them."""
    reasons: Mapping[str, str]
    """Targets that can never be used → why."""
    direct: bool = False
    """The client named provider and model itself: cooldowns were not asked about."""


class Router:
    """Finds routes. Keeps the plans of the config in force, and nothing of a request."""

    def __init__(self, spoken: Collection[str]) -> None:
        """`spoken` are the formats we have for providers."""
        self._spoken = spoken
        self._planner: Planner | None = None

    def route(
        self,
        model: str,
        wanted: str,
        kind: RequestKind,
        snapshot: Snapshot,
        view: View,
        random: Random,
        *,
        prefer: Sequence[TargetKey | str] = (),
    ) -> Route:
        """Resolve `model` for a client that speaks `wanted`.

        `prefer` are targets, or providers for any of their targets: they come first, in the given
        order, whatever group, selector and `priority` say. Raises BadRequest, UnknownModel, and
        NoCandidate if nothing is configured that could serve, whatever cools down.
        """
        planner = self._planner
        if planner is None or planner.snapshot is not snapshot:
            planner = self._planner = Planner(snapshot, self._spoken)
        plan = planner.plan(model, wanted, kind)
        check = view.any_cooling and not plan.direct
        ordered: list[Candidate] = []
        cooling: list[Candidate] = []
        for group in plan.groups:
            left: Sequence[Candidate] = group.candidates
            if check:
                left, resting = _divided(left, view)
                cooling += resting
            if left:
                ordered += selectors.order(left, group.selector, view, random)
        if prefer:
            ordered = _preferred(prefer, ordered)
        if plan.overlapping:
            ordered, cooling = _unique(ordered), _unique(cooling)
        return Route(
            canonical_model=plan.canonical_model,
            alias=plan.alias,
            candidates=tuple(ordered),
            cooling=tuple(cooling),
            reasons=plan.reasons,
            direct=plan.direct,
        )


def _divided(
    candidates: Sequence[Candidate], view: View
) -> tuple[list[Candidate], list[Candidate]]:
    """Those that are free, and those that cool down."""
    free: list[Candidate] = []
    cooling: list[Candidate] = []
    for each in candidates:
        (cooling if view.is_cooling(each.provider_id, each.model) else free).append(each)
    return free, cooling


def _preferred(prefer: Sequence[TargetKey | str], ordered: list[Candidate]) -> list[Candidate]:
    front: list[Candidate] = []
    for wish in prefer:
        provider, model = (wish, "") if isinstance(wish, str) else wish
        front += (
            each for each in ordered if each.provider_id == provider and model in ("", each.model)
        )
    return _unique([*front, *ordered])


def _unique(candidates: list[Candidate]) -> list[Candidate]:
    """Each target once, where it is first."""
    found: dict[TargetKey, Candidate] = {}
    for each in candidates:
        found.setdefault(each.key, each)
    return list(found.values())
