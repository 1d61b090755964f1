from random import Random

import pytest
from msgspec import Struct

from plexus_proxy.config.model import (
    DefinedPricing,
    OpenRouterPricing,
    PerRequestPricing,
    PriceRange,
    Pricing,
    Provider,
    Selector,
    SimplePricing,
    TargetKey,
)
from plexus_proxy.routing.aliases import Candidate
from plexus_proxy.routing.selectors import order


class Seen(Struct, frozen=True, kw_only=True):
    ttft_ms: float | None = None
    tokens_per_s: float | None = None
    e2e_tokens_per_s: float | None = None
    last_sample_ms: int | None = None
    requests_24h: int = 0


class Known:
    def __init__(self, rate: float = 0.0, **seen: Seen) -> None:
        self._seen = seen
        self._rate = rate

    def measured(self, key: TargetKey) -> Seen | None:
        return self._seen.get(key[0])

    def exploration(self, selector: Selector) -> float:
        return self._rate


def candidate(
    name: str, pricing: Pricing | None = None, *, weight: float = 1, discount: float | None = None
) -> Candidate:
    return Candidate(
        provider_id=name,
        provider=Provider(api_base_url="https://provider.test", discount=discount),
        model="m",
        format="chat",
        base_url="https://provider.test",
        pricing=pricing,
        extra_body={},
        weight=weight,
    )


def names(found: list[Candidate]) -> str:
    return "".join(each.provider_id for each in found)


ABC = [candidate("a"), candidate("b"), candidate("c")]


@pytest.mark.parametrize(
    ("selector", "known", "expected"),
    [
        ("in_order", Known(c=Seen(ttft_ms=1)), "abc"),
        ("latency", Known(), "abc"),
        ("latency", Known(b=Seen(ttft_ms=90), c=Seen(ttft_ms=20)), "cba"),
        ("latency", Known(a=Seen(requests_24h=3), b=Seen(ttft_ms=90)), "bac"),
        ("performance", Known(b=Seen(tokens_per_s=10), c=Seen(tokens_per_s=30)), "cba"),
        ("e2e_performance", Known(a=Seen(e2e_tokens_per_s=1), b=Seen(e2e_tokens_per_s=2)), "bac"),
        ("usage", Known(a=Seen(requests_24h=5), b=Seen(requests_24h=2)), "cba"),
    ],
)
def test_the_best_measured_target_is_first_and_ties_keep_the_order(
    selector: Selector, known: Known, expected: str
) -> None:
    assert names(order(ABC, selector, known, Random(1))) == expected


def test_the_cheapest_is_first_and_unpriced_ones_are_last() -> None:
    ranges = DefinedPricing(
        range=(
            PriceRange(upper_bound=500, input_per_m=0, output_per_m=0),
            PriceRange(lower_bound=501, input_per_m=2, output_per_m=2),
        )
    )
    found = [
        candidate("u"),
        candidate("o", OpenRouterPricing(slug="x")),
        candidate("r", ranges),
        candidate("s", SimplePricing(input=4, output=4), discount=0.75),
        candidate("p", PerRequestPricing(amount=0.002)),
    ]
    assert names(order(found, "cost", Known(), Random(1))) == "spruo"


def test_traffic_is_shared_by_weight() -> None:
    found, random = [candidate("a", weight=3), candidate("b")], Random(7)
    first = sum(order(found, None, Known(), random)[0] is found[0] for _ in range(4000))
    assert 0.72 < first / 4000 < 0.78


def test_exploring_prefers_an_unseen_target_and_then_the_stalest() -> None:
    a, b = Seen(ttft_ms=1, last_sample_ms=9), Seen(ttft_ms=2, last_sample_ms=5)
    c = Seen(ttft_ms=3, last_sample_ms=7)
    assert names(order(ABC, "latency", Known(1.0, a=a, b=b), Random(1))) == "cab"
    assert names(order(ABC, "latency", Known(1.0, a=a, b=b, c=c), Random(1))) == "bac"
