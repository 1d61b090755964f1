"""What one answer cost: tokens × configured rates, in integer nano-dollars.

Exact arithmetic on the rates as they were written in the YAML; each bucket is rounded once, half to
even, and the total is the sum of the buckets, so that a row always adds up. The five buckets of
`Usage` are disjoint, therefore no token is ever charged twice.
"""

from functools import lru_cache

import msgspec
from msgspec import Struct

from plexus_proxy.config.model import (
    DefinedPricing,
    PerRequestPricing,
    PriceRange,
    Pricing,
    SimplePricing,
)
from plexus_proxy.formats.events import Usage
from plexus_proxy.usage.money import Ratio, ratio
from plexus_proxy.usage.record import Cost

UNPRICED = Cost()

_NANO_USD = 10**9
_NANO_USD_PER_TOKEN = 1000  # one dollar per million tokens


class Rates(Struct, frozen=True, kw_only=True):
    """Nano-dollars per token, discount taken off, and what a row keeps of where they came from."""

    input: Ratio
    output: Ratio
    cache_read: Ratio
    cache_write: Ratio
    source: str
    detail: str


class _Detail(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The rates as configured, in dollars per million tokens."""

    source: str
    input: float | None = None
    output: float | None = None
    cached: float | None = None
    cache_write: float | None = None
    range: str | None = None
    amount: float | None = None
    discount: float = 0.0


def price(
    usage: Usage,
    pricing: Pricing | None,
    *,
    discount: float | None = None,
    succeeded: bool = True,
) -> Cost:
    """The cost of `usage`. A flat `per_request` amount is due only if the request `succeeded`.

    `discount` is the provider's share (0..1) off every price. No pricing, a catalogue price that is
    not known, or a prompt outside all ranges: unpriced (source `default`, costs None).
    """
    if isinstance(pricing, SimplePricing):
        return _by_tokens(usage, _simple_rates(pricing, discount or 0.0))
    if isinstance(pricing, DefinedPricing):
        found = _range_for(usage.prompt_tokens, pricing)
        return _by_tokens(usage, _range_rates(found, discount or 0.0)) if found else UNPRICED
    if isinstance(pricing, PerRequestPricing):
        return _flat(pricing, discount or 0.0, succeeded=succeeded)
    return UNPRICED


def _by_tokens(usage: Usage, rates: Rates) -> Cost:
    fresh = rates.input.times(usage.input_tokens)
    output = rates.output.times(usage.output_tokens + usage.reasoning_tokens)
    read = rates.cache_read.times(usage.cache_read_tokens)
    write = rates.cache_write.times(usage.cache_write_tokens)
    return Cost(
        input_nano_usd=fresh,
        output_nano_usd=output,
        cache_read_nano_usd=read,
        cache_write_nano_usd=write,
        total_nano_usd=fresh + output + read + write,
        source=rates.source,
        detail=rates.detail,
    )


def _flat(pricing: PerRequestPricing, discount: float, *, succeeded: bool) -> Cost:
    detail = _Detail(source="per_request", amount=pricing.amount, discount=discount)
    amount = ratio(pricing.amount, discount, _NANO_USD)
    return Cost(
        input_nano_usd=0,
        output_nano_usd=0,
        cache_read_nano_usd=0,
        cache_write_nano_usd=0,
        total_nano_usd=amount.times(1) if succeeded else 0,
        source="per_request",
        detail=_text(detail),
    )


def _range_for(prompt_tokens: int, pricing: DefinedPricing) -> PriceRange | None:
    """The first range that holds the whole prompt, cached tokens included."""
    for candidate in pricing.range:
        upper = candidate.upper_bound
        if candidate.lower_bound <= prompt_tokens and (upper is None or prompt_tokens <= upper):
            return candidate
    return None


@lru_cache(maxsize=4096)
def _simple_rates(pricing: SimplePricing, discount: float) -> Rates:
    return _rates(
        _Detail(
            source="simple",
            input=pricing.input,
            output=pricing.output,
            cached=pricing.cached,
            cache_write=pricing.cache_write,
            discount=discount,
        )
    )


@lru_cache(maxsize=4096)
def _range_rates(found: PriceRange, discount: float) -> Rates:
    upper = "" if found.upper_bound is None else f"{found.upper_bound:g}"
    return _rates(
        _Detail(
            source="defined",
            input=found.input_per_m,
            output=found.output_per_m,
            cached=found.cached_per_m,
            cache_write=found.cache_write_per_m,
            range=f"{found.lower_bound:g}-{upper}",
            discount=discount,
        )
    )


def _rates(detail: _Detail) -> Rates:
    """Cache reads and writes without a rate of their own are priced as input."""
    fresh = detail.input or 0.0
    rates = (
        fresh,
        detail.output or 0.0,
        fresh if detail.cached is None else detail.cached,
        fresh if detail.cache_write is None else detail.cache_write,
    )
    per_token = [ratio(rate, detail.discount, _NANO_USD_PER_TOKEN) for rate in rates]
    return Rates(
        input=per_token[0],
        output=per_token[1],
        cache_read=per_token[2],
        cache_write=per_token[3],
        source=detail.source,
        detail=_text(detail),
    )


def _text(detail: _Detail) -> str:
    return msgspec.json.encode(detail).decode()
