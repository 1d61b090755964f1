"""Prices for comparing targets."""

import pytest

from plexus_proxy.config.model import (
    DefinedPricing,
    OpenRouterPricing,
    PerRequestPricing,
    PriceRange,
    Pricing,
    SimplePricing,
)
from plexus_proxy.config.prices import UNKNOWN, Mix, bands_of, price_of
from plexus_proxy.formats.events import Usage
from plexus_proxy.usage.pricing import price

RANGES = DefinedPricing(
    range=(
        PriceRange(lower_bound=0, upper_bound=200, input_per_m=1, output_per_m=2),
        PriceRange(lower_bound=201, input_per_m=10, output_per_m=20, cached_per_m=5),
    )
)


def cost(tokens: Mix, pricing: Pricing | None, discount: float | None) -> float:
    """Of so many tokens: input, read from a cache, written to one, output."""
    total = sum(tokens)
    fresh, read, written, output = (each / total for each in tokens)
    return price_of(total, (fresh, read, written, output), bands_of(pricing, discount))


@pytest.mark.parametrize(
    ("tokens", "pricing", "discount", "usd"),
    [
        ((1000, 0, 0, 500), SimplePricing(input=3, output=15), None, 0.0105),
        ((1000, 0, 0, 500), SimplePricing(input=3, output=15), 0.5, 0.00525),
        ((0, 1000, 0, 0), SimplePricing(input=3, cached=0.3), None, 0.0003),
        ((0, 1000, 1000, 0), SimplePricing(input=3), None, 0.006),
        ((0, 0, 1000, 0), SimplePricing(input=3, cache_write=3.75), None, 0.00375),
        ((1000, 0, 0, 500), SimplePricing(), None, 0),
        ((1000, 0, 0, 0), SimplePricing(output=float("inf")), None, 0),
        ((100, 0, 0, 0), RANGES, None, 0.0001),
        ((100, 101, 0, 0), RANGES, None, 0.001505),
        ((200.4, 0, 0, 0), RANGES, None, 0.0002004),  # no gap between whole numbers
        ((1000, 0, 0, 500), PerRequestPricing(amount=0.04), 0.25, 0.03),
        ((1000, 0, 0, 500), OpenRouterPricing(slug="a/b"), None, UNKNOWN),
        ((1000, 0, 0, 500), None, None, UNKNOWN),
        ((300, 0, 0, 0), DefinedPricing(range=RANGES.range[:1]), None, UNKNOWN),
    ],
)
def test_price_of_a_mix(
    tokens: Mix, pricing: Pricing | None, discount: float | None, usd: float
) -> None:
    assert cost(tokens, pricing, discount) == pytest.approx(usd)


@pytest.mark.parametrize(
    "pricing",
    [
        SimplePricing(input=3, output=15, cached=0.3, cache_write=3.75),
        SimplePricing(input=0.15, output=0.6),
        RANGES,
        PerRequestPricing(amount=0.5),
    ],
)
def test_what_is_compared_is_what_will_be_charged(pricing: Pricing) -> None:
    usage = Usage(
        input_tokens=1000,
        cache_read_tokens=2000,
        cache_write_tokens=300,
        output_tokens=400,
        reasoning_tokens=100,
    )
    charged = price(usage, pricing, discount=0.1).total_nano_usd
    assert charged is not None
    assert cost((1000, 2000, 300, 500), pricing, 0.1) * 1e9 == pytest.approx(charged)
