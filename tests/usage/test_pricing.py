"""What an answer costs, to the nano-dollar."""

from fractions import Fraction

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plexus_proxy.config.model import (
    DefinedPricing,
    OpenRouterPricing,
    PerRequestPricing,
    PriceRange,
    Pricing,
    SimplePricing,
)
from plexus_proxy.formats.events import Usage
from plexus_proxy.usage.money import ratio
from plexus_proxy.usage.pricing import price
from plexus_proxy.usage.record import Cost

USD = 10**9
MTOK = 1_000_000


def buckets(cost: Cost) -> tuple[int | None, ...]:
    return (
        cost.input_nano_usd,
        cost.output_nano_usd,
        cost.cache_read_nano_usd,
        cost.cache_write_nano_usd,
    )


def test_a_million_tokens_of_each_bucket_cost_their_rates() -> None:
    usage = Usage(MTOK, MTOK, MTOK, MTOK, MTOK)
    pricing = SimplePricing(input=3, output=15, cached=0.3, cache_write=3.75)
    cost = price(usage, pricing)
    assert buckets(cost) == (3 * USD, 30 * USD, 300_000_000, 3_750_000_000)
    assert cost.total_nano_usd == 37_050_000_000
    assert cost.source == "simple"


def test_output_includes_reasoning() -> None:
    pricing = SimplePricing(output=10)
    assert price(Usage(output_tokens=3, reasoning_tokens=4), pricing).output_nano_usd == 70_000


def test_cached_tokens_are_not_billed_as_input_too() -> None:
    """An OpenAI prompt of 1,000 tokens, 900 of them cached, is not 1,900 tokens."""
    cost = price(Usage(100, 900), SimplePricing(input=10, cached=1))
    assert buckets(cost) == (1_000_000, 0, 900_000, 0)
    assert cost.total_nano_usd == 1_900_000


def test_a_cached_prompt_never_costs_more_than_a_fresh_one() -> None:
    pricing = SimplePricing(input=2.5, output=10, cached=1.25)
    fresh = price(Usage(input_tokens=1000, output_tokens=10), pricing)
    cached = price(Usage(input_tokens=1, cache_read_tokens=999, output_tokens=10), pricing)
    assert fresh.total_nano_usd is not None
    assert cached.total_nano_usd is not None
    assert cached.total_nano_usd < fresh.total_nano_usd


def test_cache_reads_and_writes_are_priced_apart() -> None:
    cost = price(Usage(0, 10, 10), SimplePricing(input=1, cached=0.1, cache_write=1.25))
    assert buckets(cost) == (0, 0, 1_000, 12_500)


@pytest.mark.parametrize(
    "pricing",
    [
        SimplePricing(input=4),
        DefinedPricing(range=(PriceRange(input_per_m=4, output_per_m=0),)),
    ],
)
def test_without_rates_of_their_own_cache_tokens_are_priced_as_input(pricing: Pricing) -> None:
    assert buckets(price(Usage(1, 2, 3), pricing)) == (4_000, 0, 8_000, 12_000)


def test_a_rate_of_zero_is_free_and_not_the_input_rate() -> None:
    assert price(Usage(0, 500, 500), SimplePricing(input=4, cached=0, cache_write=0)) == Cost(
        input_nano_usd=0,
        output_nano_usd=0,
        cache_read_nano_usd=0,
        cache_write_nano_usd=0,
        total_nano_usd=0,
        source="simple",
        detail='{"source":"simple","input":4,"output":0,"cached":0,"cache_write":0}',
    )


TIERED = DefinedPricing(
    range=(
        PriceRange(lower_bound=0, upper_bound=200_000, input_per_m=1, output_per_m=5),
        PriceRange(
            lower_bound=200_001,
            upper_bound=float("inf"),
            input_per_m=2,
            output_per_m=10,
            cached_per_m=0.5,
            cache_write_per_m=3,
        ),
    )
)


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        (Usage(200_000), 1),
        (Usage(200_001), 2),
        (Usage(1, 200_000), 2),
        (Usage(1, 0, 200_000), 2),
        (Usage(1, 199_999), 1),
        (Usage(0), 1),
    ],
)
def test_the_range_is_chosen_by_the_whole_prompt(usage: Usage, expected: int) -> None:
    cost = price(usage, TIERED)
    assert cost.input_nano_usd == usage.input_tokens * expected * 1000


def test_a_range_has_cache_rates_of_its_own() -> None:
    cost = price(Usage(200_000, MTOK, MTOK, MTOK), TIERED)
    assert buckets(cost) == (400_000_000, 10 * USD, 500_000_000, 3 * USD)
    assert cost.source == "defined"


def test_the_first_range_that_fits_wins() -> None:
    overlapping = DefinedPricing(
        range=(
            PriceRange(lower_bound=10, upper_bound=20, input_per_m=1, output_per_m=0),
            PriceRange(input_per_m=2, output_per_m=0),
        )
    )
    assert price(Usage(10), overlapping).input_nano_usd == 10_000
    assert price(Usage(9), overlapping).input_nano_usd == 18_000


@pytest.mark.parametrize(
    "pricing",
    [
        None,
        OpenRouterPricing(slug="vendor/model"),
        DefinedPricing(range=(PriceRange(lower_bound=50, input_per_m=1, output_per_m=1),)),
    ],
)
def test_what_has_no_rate_is_unpriced_and_not_free(pricing: Pricing | None) -> None:
    cost = price(Usage(10, 10, 10, 10, 10), pricing, discount=0.5)
    assert cost == Cost(source="default")
    assert cost.total_nano_usd is None


def test_a_flat_amount_is_due_for_a_success_only() -> None:
    pricing = PerRequestPricing(amount=0.04)
    paid = price(Usage(10**9), pricing)
    assert (paid.total_nano_usd, paid.source) == (40_000_000, "per_request")
    assert price(Usage(10), pricing, succeeded=False).total_nano_usd == 0


@pytest.mark.parametrize(
    "pricing",
    [
        SimplePricing(input=1, output=1, cached=1, cache_write=1),
        TIERED,
        PerRequestPricing(amount=1),
    ],
)
def test_a_discount_applies_to_every_source(pricing: Pricing) -> None:
    usage = Usage(100, 100, 100, 100, 100)
    full, less = price(usage, pricing), price(usage, pricing, discount=0.25)
    assert full.total_nano_usd
    assert less.total_nano_usd == full.total_nano_usd * 3 // 4
    assert price(usage, pricing, discount=1).total_nano_usd == 0
    assert price(usage, pricing, discount=0) == full


def test_the_row_says_which_rates_were_used() -> None:
    detail = price(Usage(), TIERED, discount=0.1).detail
    assert detail is not None
    assert msgspec.json.decode(detail) == {
        "source": "defined",
        "input": 1,
        "output": 5,
        "range": "0-200000",
        "discount": 0.1,
    }
    flat = price(Usage(), PerRequestPricing(amount=0.5)).detail
    assert flat is not None
    assert msgspec.json.decode(flat) == {"source": "per_request", "amount": 0.5}


def test_rates_are_what_was_written_and_do_not_drift() -> None:
    """0.1 has no exact binary form: added up naively, ten thousand requests would be off."""
    one = price(Usage(input_tokens=1), SimplePricing(input=0.1)).total_nano_usd
    assert one == 100
    many = price(Usage(input_tokens=10**15), SimplePricing(input=0.1)).total_nano_usd
    assert many == 10**17


@pytest.mark.parametrize(
    ("tokens", "expected"), [(1, 0), (2, 1), (3, 2), (5, 2), (7, 4), (9, 4), (11, 6)]
)
def test_a_half_is_rounded_to_even(tokens: int, expected: int) -> None:
    """At 0.0005 dollars per million a token is half a nano-dollar."""
    assert price(Usage(tokens), SimplePricing(input=0.0005)).input_nano_usd == expected


def test_an_endless_rate_does_not_break_the_row() -> None:
    cost = price(Usage(1), SimplePricing(input=float("inf")))
    assert isinstance(cost.total_nano_usd, int)


rates = st.floats(min_value=0, max_value=1000, allow_nan=False)
tokens = st.integers(min_value=0, max_value=10**8)
usages = st.builds(Usage, tokens, tokens, tokens, tokens, tokens)


@given(usages, rates, rates, rates, rates, st.floats(min_value=0, max_value=1))
def test_any_price_is_exact_to_half_a_nano_dollar_and_adds_up(
    usage: Usage, fresh: float, output: float, cached: float, write: float, discount: float
) -> None:
    pricing = SimplePricing(input=fresh, output=output, cached=cached, cache_write=write)
    cost = price(usage, pricing, discount=discount)
    exact = [
        (usage.input_tokens, fresh),
        (usage.completion_tokens, output),
        (usage.cache_read_tokens, cached),
        (usage.cache_write_tokens, write),
    ]
    for found, (count, rate) in zip(buckets(cost), exact, strict=True):
        assert found is not None
        true = count * Fraction(str(rate)) * (1 - Fraction(str(discount))) * 1000
        assert abs(found - true) <= Fraction(1, 2)
    assert cost.total_nano_usd == sum(b for b in buckets(cost) if b is not None)


@given(usages, rates)
def test_equal_rates_charge_every_token_exactly_once(usage: Usage, rate: float) -> None:
    pricing = SimplePricing(input=rate, output=rate, cached=rate, cache_write=rate)
    total = price(usage, pricing).total_nano_usd
    assert total is not None
    assert abs(total - usage.total_tokens * Fraction(str(rate)) * 1000) <= 2


@given(st.integers(min_value=0, max_value=10**6), st.integers(1, 999))
def test_rounding_is_that_of_fractions(pieces: int, thousandths: int) -> None:
    one = ratio(thousandths / 1000, 0.0, 1)
    assert one.times(pieces) == round(pieces * Fraction(thousandths, 1000))
