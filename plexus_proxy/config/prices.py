"""What tokens of a mix cost, for comparing targets: floats, made once per target. Pure.

What a request is charged is exact arithmetic and stands in `usage/pricing.py`; both read the same
config and agree but for rounding.
"""

from collections.abc import Sequence
from math import inf

from msgspec import Struct

from plexus_proxy.config.model import (
    DefinedPricing,
    PerRequestPricing,
    Pricing,
    SimplePricing,
)

Mix = tuple[float, float, float, float]
"""Shares of a request's tokens: input, read from a cache, written to one, output with reasoning."""

UNKNOWN = inf
"""The price of what is unpriced: above all others."""

_HIGHEST_USD = 1e9  # times 0 tokens is 0, which `.inf` times 0 is not
_PER_TOKEN = 1e-6


class Band(Struct, frozen=True, gc=False):
    """US dollars per token for prompts of `lower` to `upper` tokens, and per request."""

    lower: float = 0.0
    upper: float = inf
    input: float = 0.0
    cache_read: float = 0.0
    cache_write: float = 0.0
    output: float = 0.0
    request: float = 0.0


def bands_of(pricing: Pricing | None, discount: float | None) -> tuple[Band, ...]:
    """The prices of a target, `discount` (0..1) taken off; none if it is unpriced."""
    left = 1 - (discount or 0.0)
    if isinstance(pricing, SimplePricing):
        rates = pricing.input, pricing.cached, pricing.cache_write, pricing.output
        return (_band(0, inf, *rates, left),)
    if isinstance(pricing, DefinedPricing):
        return tuple(
            _band(
                each.lower_bound,
                inf if each.upper_bound is None else each.upper_bound,
                each.input_per_m,
                each.cached_per_m,
                each.cache_write_per_m,
                each.output_per_m,
                left,
            )
            for each in pricing.range
        )
    if isinstance(pricing, PerRequestPricing):
        return (Band(request=min(pricing.amount, _HIGHEST_USD) * left),)
    return ()


def price_of(tokens: float, mix: Mix, bands: Sequence[Band]) -> float:
    """US dollars for a request of so many tokens, or UNKNOWN. The whole prompt decides the band."""
    fresh, read, written, output = mix
    for band in bands:
        if band.lower > 0 or band.upper < inf:
            prompt = round(tokens * (fresh + read + written))
            if not band.lower <= prompt <= band.upper:
                continue
        return band.request + tokens * (
            fresh * band.input
            + read * band.cache_read
            + written * band.cache_write
            + output * band.output
        )
    return UNKNOWN


def _band(
    lower: float,
    upper: float,
    fresh: float,
    read: float | None,
    written: float | None,
    output: float,
    left: float,
) -> Band:
    """Cache reads and writes without a rate of their own are priced as input."""
    rates = fresh, fresh if read is None else read, fresh if written is None else written, output
    return Band(lower, upper, *(min(rate, _HIGHEST_USD) * left * _PER_TOKEN for rate in rates))
