"""Selectors order the targets of an alias. Pure: time and randomness are arguments.

What was measured of targets comes through a `View`. Where it says nothing, or the same of several,
they keep the order of the config. Sources: behaviour reference §3.5, §6 (18) and appendix D.6.
"""

from collections.abc import Callable, Mapping, Sequence
from math import inf, log
from random import Random
from typing import Protocol

from plexus_proxy.config.model import Selector, TargetKey
from plexus_proxy.config.prices import Mix, price_of
from plexus_proxy.routing.aliases import Candidate

EXPLORING: frozenset[Selector] = frozenset(("latency", "performance", "e2e_performance"))
"""Selectors that now and then try another target than the best, to measure it."""

_HOUR_MS = 3_600_000
_MINUTE_MS = 60_000
_USUAL_TOKENS = 1500
_USUAL_MIX: Mix = (2 / 3, 0, 0, 1 / 3)
"""Of a request before any is known."""


class Measured(Protocol):
    """What is known of a target. Averages are those of its last samples, None without any."""

    @property
    def ttft_ms(self) -> float | None: ...

    @property
    def tokens_per_s(self) -> float | None:
        """While it generates."""
        ...

    @property
    def e2e_tokens_per_s(self) -> float | None:
        """Over the whole attempt."""
        ...

    @property
    def last_sample_ms(self) -> int | None: ...

    @property
    def requests_24h(self) -> int: ...

    @property
    def mix(self) -> Mix | None:
        """Of the last day, None if there were no tokens."""
        ...

    @property
    def tokens_per_request(self) -> float:
        """The average of the last day."""
        ...


class Headroom(Protocol):
    """What is left of a provider's account: of a window, or a balance. Nothing: unknown."""

    @property
    def share_left(self) -> float | None:
        """Of a window that begins anew (0..1)."""
        ...

    @property
    def resets_at_ms(self) -> int | None: ...

    @property
    def balance(self) -> float | None: ...


class View(Protocol):
    """What is known of targets at this moment."""

    @property
    def now_ms(self) -> int: ...

    def measured(self, key: TargetKey) -> Measured | None: ...

    def headroom(self, provider_id: str) -> Headroom | None: ...

    def exploration(self, selector: Selector) -> float:
        """The share of requests (0..1) that are to measure another target."""
        ...


def order(
    candidates: Sequence[Candidate], selector: Selector | None, view: View, random: Random
) -> list[Candidate]:
    """All `candidates`, the one to try first in front. No selector means random."""
    if selector == "in_order" or len(candidates) < 2:
        return list(candidates)
    if selector is None or selector == "random":
        return _sorted(candidates, _drawn(candidates, random))
    ordered = _sorted(candidates, _RANKS[selector](candidates, view))
    if selector in EXPLORING and random.random() < view.exploration(selector):
        _explore(ordered, view, random)
    return ordered


def _sorted(candidates: Sequence[Candidate], ranks: Sequence[float]) -> list[Candidate]:
    return [candidates[place] for place in sorted(range(len(ranks)), key=ranks.__getitem__)]


def _drawn(candidates: Sequence[Candidate], random: Random) -> list[float]:
    """One pass of draws without replacement, each by its share of the weights that are left.

    Source: Efraimidis and Spirakis, "Weighted random sampling with a reservoir" (2006).
    """
    draw = random.random
    return [-log(1.0 - draw()) / each.weight for each in candidates]


def _by_cost(candidates: Sequence[Candidate], view: View) -> list[float]:
    """What a request costs at each: all are given one of the same size, the average of those that
    are known, but of its own mix, for caches hit differently. Compared at their own sizes the
    target that happened to get short requests would be the cheapest; and one that is not known
    yet gets what the others get, else it would stay dearer than those whose caches are warm."""
    measured = view.measured
    mixes: list[Mix | None] = []
    tokens, known = 0.0, 0
    for each in candidates:
        found = measured((each.provider_id, each.model))
        mix = None if found is None else found.mix
        mixes.append(mix)
        if found is not None and mix is not None:
            tokens += found.tokens_per_request
            known += 1
    tokens = tokens / known if known else _USUAL_TOKENS
    usual = _USUAL_MIX if known in (0, len(mixes)) else _mean([mix for mix in mixes if mix])
    return [
        price_of(tokens, mix or usual, each.bands)
        for each, mix in zip(candidates, mixes, strict=True)
    ]


def _mean(mixes: Sequence[Mix]) -> Mix:
    fresh, read, written, output = (sum(shares) / len(mixes) for shares in zip(*mixes, strict=True))
    return fresh, read, written, output


def _by_latency(candidates: Sequence[Candidate], view: View) -> list[float]:
    measured = view.measured
    return [
        inf
        if (found := measured((each.provider_id, each.model))) is None or found.ttft_ms is None
        else found.ttft_ms
        for each in candidates
    ]


def _by_performance(candidates: Sequence[Candidate], view: View) -> list[float]:
    measured = view.measured
    return [
        0.0
        if (found := measured((each.provider_id, each.model))) is None
        else -(found.tokens_per_s or 0.0)
        for each in candidates
    ]


def _by_e2e_performance(candidates: Sequence[Candidate], view: View) -> list[float]:
    measured = view.measured
    return [
        0.0
        if (found := measured((each.provider_id, each.model))) is None
        else -(found.e2e_tokens_per_s or 0.0)
        for each in candidates
    ]


def _by_usage(candidates: Sequence[Candidate], view: View) -> list[float]:
    measured = view.measured
    return [
        0 if (found := measured((each.provider_id, each.model))) is None else found.requests_24h
        for each in candidates
    ]


def _by_quota(candidates: Sequence[Candidate], view: View) -> list[float]:
    """The most headroom per hour until it is renewed anyway, then balances, then unknown."""
    now_ms, headroom = view.now_ms, view.headroom
    return [
        inf
        if (left := headroom(each.provider_id)) is None
        else _need(left.share_left, left.resets_at_ms, left.balance, now_ms)
        for each in candidates
    ]


def _need(
    share_left: float | None, resets_at_ms: int | None, balance: float | None, now_ms: int
) -> float:
    """Below zero for windows, above for balances."""
    if share_left is not None and resets_at_ms is not None:
        return -1 - share_left * _HOUR_MS / max(resets_at_ms - now_ms, _MINUTE_MS)
    if balance is None:
        return inf
    return 1 / (1 + balance) if balance > 0 else 1 - balance


_Ranks = Callable[[Sequence[Candidate], View], list[float]]
_RANKS: Mapping[Selector, _Ranks] = {
    "cost": _by_cost,
    "latency": _by_latency,
    "performance": _by_performance,
    "e2e_performance": _by_e2e_performance,
    "usage": _by_usage,
    "quota": _by_quota,
}


def _explore(ordered: list[Candidate], view: View, random: Random) -> None:
    """Put one in front that was never measured, or else the one measured longest ago."""
    sampled = [_last_sample_ms(each, view) for each in ordered]
    unseen = [place for place, at_ms in enumerate(sampled) if at_ms is None]
    if unseen:
        place = random.choice(unseen)
    else:
        place = min(range(len(sampled)), key=lambda place: sampled[place] or 0)
    ordered.insert(0, ordered.pop(place))


def _last_sample_ms(candidate: Candidate, view: View) -> int | None:
    found = view.measured(candidate.key)
    return None if found is None else found.last_sample_ms
