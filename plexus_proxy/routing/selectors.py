"""Selectors order the targets of an alias. Pure: measurements and randomness are arguments."""

from collections.abc import Callable, Sequence
from math import inf
from random import Random
from typing import Protocol

from plexus_proxy.config.model import (
    DefinedPricing,
    PerRequestPricing,
    Selector,
    SimplePricing,
    TargetKey,
)
from plexus_proxy.routing.aliases import Candidate

_PROMPT_TOKENS = 1000
_OUTPUT_TOKENS = 500


class Measured(Protocol):
    """What a target's recent requests showed; None: nothing known."""

    @property
    def ttft_ms(self) -> float | None: ...
    @property
    def tokens_per_s(self) -> float | None: ...
    @property
    def e2e_tokens_per_s(self) -> float | None: ...
    @property
    def last_sample_ms(self) -> int | None: ...
    @property
    def requests_24h(self) -> int: ...


class Measurements(Protocol):
    def measured(self, key: TargetKey) -> Measured | None: ...

    def exploration(self, selector: Selector) -> float:
        """The share of requests that measure another target than the best; 0: none."""
        ...


def order(
    candidates: Sequence[Candidate],
    selector: Selector | None,
    view: Measurements,
    random: Random,
) -> list[Candidate]:
    """All `candidates`, the one to try first in front; equals keep the order of the config.

    No selector means random. Selector quota keeps the order of the config: no headroom is known.
    """
    if len(candidates) < 2 or selector in ("in_order", "quota"):
        return list(candidates)
    if selector is None or selector == "random":
        draw = random.expovariate
        return sorted(candidates, key=lambda each: draw(each.weight))
    if selector == "cost":
        return sorted(candidates, key=_cost)
    seen = [view.measured(each.key) for each in candidates]
    if selector == "usage":
        ranks: list[float] = [found.requests_24h if found else 0 for found in seen]
        return _ranked(candidates, ranks)
    value = _VALUES[selector]
    values = [value(found) if found else None for found in seen]
    ranks = [inf if found is None else found for found in values]
    ordered = _ranked(candidates, ranks)
    rate = view.exploration(selector)
    if rate > 0 and random.random() < rate:
        unseen = [at for at, found in enumerate(values) if found is None]
        first = candidates[random.choice(unseen) if unseen else _stalest(seen)]
        ordered.remove(first)
        ordered.insert(0, first)
    return ordered


def _ranked(candidates: Sequence[Candidate], ranks: list[float]) -> list[Candidate]:
    return [candidates[at] for at in sorted(range(len(ranks)), key=ranks.__getitem__)]


def _stalest(seen: Sequence[Measured | None]) -> int:
    sampled = [(found.last_sample_ms or 0) if found else 0 for found in seen]
    return sampled.index(min(sampled))


def _slowness(speed: float | None) -> float | None:
    return None if speed is None else -speed


_VALUES: dict[str, Callable[[Measured], float | None]] = {
    "latency": lambda found: found.ttft_ms,
    "performance": lambda found: _slowness(found.tokens_per_s),
    "e2e_performance": lambda found: _slowness(found.e2e_tokens_per_s),
}
"""Lower is better."""


def _cost(candidate: Candidate) -> float:
    """Dollars for a usual request, discount taken off; unpriced ones come last."""
    pricing = candidate.pricing
    kept = 1 - (candidate.provider.discount or 0)
    if isinstance(pricing, PerRequestPricing):
        return pricing.amount * kept
    if isinstance(pricing, SimplePricing):
        return _dollars(pricing.input, pricing.output) * kept
    if isinstance(pricing, DefinedPricing):
        for each in pricing.range:
            upper = inf if each.upper_bound is None else each.upper_bound
            if each.lower_bound <= _PROMPT_TOKENS <= upper:
                return _dollars(each.input_per_m, each.output_per_m) * kept
    return inf


def _dollars(per_m_input: float, per_m_output: float) -> float:
    return (per_m_input * _PROMPT_TOKENS + per_m_output * _OUTPUT_TOKENS) / 1e6
