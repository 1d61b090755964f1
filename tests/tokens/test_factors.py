"""The factor of a model: learned from pairs of our count and the provider's, hard to mislead."""

import random

import pytest
from msgspec import structs

from plexus_proxy.tokens.factors import (
    MAX_NOTES,
    MAX_TARGETS,
    MIN_SAMPLES,
    NOTE_S,
    Factor,
    Factors,
    Likeness,
    estimate,
    learned,
)
from plexus_proxy.tokens.pictures import Family

LIKE = Likeness(key_name="app", provider="p", model="m", messages=3, tools=2)


def taught(factors: Factors, *ratios: float, like: Likeness = LIKE, fixed: int = 50) -> Factors:
    """Counts of 1000 text tokens, each followed by the request it was made for."""
    for ratio in ratios:
        factors.asked(like, 1000, fixed, 10.0)
        factors.seen(like, round(1000 * ratio) + fixed, 11.0)
    return factors


def of(factors: Factors, model: str = "m") -> Factor:
    return factors.of("p", model, "openai")


@pytest.mark.parametrize(
    ("family", "value"), [("openai", 1.0), ("anthropic", 1.2), ("gemini", 1.0)]
)
def test_before_anything_is_learned_the_family_decides(family: Family, value: float) -> None:
    factor = Factors().of("p", "m", family)
    assert (factor.value, factor.samples) == (value, 0)
    assert factor.deviation > 0


def test_a_few_samples_are_not_acted_upon() -> None:
    factors = taught(Factors(), *[1.3] * (MIN_SAMPLES - 1))
    assert (of(factors).value, of(factors).samples) == (1.0, MIN_SAMPLES - 1)
    assert of(taught(factors, 1.3)) == Factor(pytest.approx(1.3), pytest.approx(0), MIN_SAMPLES)


def test_each_model_of_each_provider_has_its_own() -> None:
    factors = taught(Factors(), *[1.3] * 9)
    assert of(factors, "other").value == 1.0
    assert factors.of("q", "m", "openai").value == 1.0


def test_what_is_priced_on_its_own_is_not_blamed_on_the_text() -> None:
    assert of(taught(Factors(), *[1.3] * 9, fixed=900)).value == pytest.approx(1.3)


def test_it_finds_mean_and_deviation_of_noisy_samples() -> None:
    chance = random.Random(7)
    factor = of(taught(Factors(), *(chance.gauss(1.25, 0.05) for _ in range(300))))
    assert factor.value == pytest.approx(1.25, abs=0.03)
    assert factor.deviation == pytest.approx(0.04, abs=0.02)  # of the mean, absolute


def test_the_band_holds_nearly_all_real_numbers() -> None:
    chance = random.Random(7)
    factor = of(taught(Factors(), *(chance.gauss(1.25, 0.05) for _ in range(300))))
    told = estimate(1000, 50, factor)
    inside = [told.low <= 1000 * chance.gauss(1.25, 0.05) + 50 <= told.high for _ in range(1000)]
    assert 850 <= sum(inside) < 1000


def test_it_follows_a_model_that_changes() -> None:
    factors = taught(Factors(), *[1.0] * 50)
    assert of(taught(factors, *[1.4] * 60)).value == pytest.approx(1.4, abs=0.03)


def test_one_sample_far_off_hardly_counts() -> None:
    factors = taught(Factors(), *[1.2] * 20, 2.4)
    assert of(factors).value == pytest.approx(1.2, abs=0.01)


@pytest.mark.parametrize("ratio", [0.01, 0.49, 2.51, 40])
def test_what_is_beyond_belief_is_dropped(ratio: float) -> None:
    assert of(taught(Factors(), *[ratio] * 20)).samples == 0


@pytest.mark.parametrize(
    "change",
    [{"key_name": "other"}, {"provider": "q"}, {"model": "n"}, {"messages": 4}, {"tools": 0}],
    ids=lambda change: next(iter(change)),
)
def test_another_request_teaches_nothing(change: dict[str, str | int]) -> None:
    factors = Factors()
    for _ in range(9):
        factors.asked(LIKE, 1000, 50, 10.0)
        factors.seen(structs.replace(LIKE, **change), 1350, 11.0)
    assert of(factors).samples == 0


def test_a_count_teaches_once() -> None:
    factors = Factors()
    factors.asked(LIKE, 1000, 50, 10.0)
    for _ in range(9):
        factors.seen(LIKE, 1350, 11.0)
    assert of(factors).samples == 1
    assert not factors.waiting


def test_a_request_that_comes_too_late_teaches_nothing() -> None:
    factors = Factors()
    factors.asked(LIKE, 1000, 50, 10.0)
    factors.seen(LIKE, 1350, 10.0 + NOTE_S + 1)
    assert of(factors).samples == 0
    assert not factors.waiting


def test_counts_that_look_alike_and_differ_teach_nothing() -> None:
    """A client that counts its tools one by one, say."""
    factors = Factors()
    for text_tokens in (1000, 1100, 1000):
        factors.asked(LIKE, text_tokens, 50, 10.0)
    factors.seen(LIKE, 1350, 11.0)
    assert of(factors).samples == 0
    factors.asked(LIKE, 1000, 50, 11.0 + NOTE_S)
    factors.seen(LIKE, 1350, 12.0 + NOTE_S)
    assert of(factors).samples == 1


def test_the_same_count_twice_is_one() -> None:
    factors = Factors()
    factors.asked(LIKE, 1000, 50, 10.0)
    factors.asked(LIKE, 1000, 50, 20.0)
    factors.seen(LIKE, 1350, 21.0)
    assert of(factors).samples == 1


@pytest.mark.parametrize(("text_tokens", "fixed"), [(199, 0), (1000, 1001), (0, 0)])
def test_counts_with_little_text_teach_nothing(text_tokens: int, fixed: int) -> None:
    factors = Factors()
    factors.asked(LIKE, text_tokens, fixed, 10.0)
    factors.seen(LIKE, round(text_tokens * 1.2) + fixed, 11.0)
    assert of(factors).samples == 0


def test_no_more_is_kept_than_there_is_room_for() -> None:
    factors = Factors()
    for number in range(MAX_TARGETS + 10):
        taught(factors, *[1.3] * MIN_SAMPLES, like=structs.replace(LIKE, model=f"m{number}"))
    assert of(factors, "m0").samples == 0
    assert of(factors, f"m{MAX_TARGETS + 9}").samples == MIN_SAMPLES
    for number in range(MAX_NOTES + 1):
        factors.asked(structs.replace(LIKE, messages=number), 1000, 0, 10.0)
    factors.seen(structs.replace(LIKE, messages=0), 1300, 11.0)
    assert of(factors).samples == 0
    factors.seen(structs.replace(LIKE, messages=1), 1300, 11.0)
    assert of(factors).samples == 1


@pytest.mark.parametrize(
    ("factor", "tokens"),
    [
        (Factor(1.0, 0.0, 9), (1050, 1050, 1050)),
        (Factor(1.2, 0.1, 9), (1250, 1050, 1450)),
        (Factor(0.5, 0.9, 9), (550, 50, 2350)),
    ],
)
def test_an_estimate_and_its_band(factor: Factor, tokens: tuple[int, int, int]) -> None:
    told = estimate(1000, 50, factor)
    assert (told.tokens, told.low, told.high) == tokens


def test_the_first_samples_make_a_plain_mean() -> None:
    factor: Factor | None = None
    for ratio in (1.0, 1.2, 1.4, 1.2):
        factor = learned(factor, ratio)
    assert factor is not None
    assert factor.value == pytest.approx(1.2)
    assert factor.samples == 4
