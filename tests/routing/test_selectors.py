"""The order selectors give, whatever is known of the targets."""

from collections import Counter
from collections.abc import Mapping
from random import Random
from typing import get_args

import pytest
from support.routing import Known, Left, Measurement, routed, snapshot_from

from plexus_proxy.config.model import Selector
from plexus_proxy.routing.aliases import Candidate
from plexus_proxy.routing.selectors import EXPLORING, order

HOUR_MS = 3_600_000
NOW_MS = 1_760_000_000_000

PRICES = """
  plain: {source: simple, input: 3, output: 15}
  cached: {source: simple, input: 4, output: 16, cached: 0.1}
  free: {source: simple, input: 0, output: 0}
  per_request: {source: per_request, amount: 0.01}
  ranged: {source: defined, range: [{lower_bound: 0, upper_bound: 2000, input_per_m: 1,
           output_per_m: 1}, {lower_bound: 2001, input_per_m: 9, output_per_m: 90}]}
  catalogue: {source: openrouter, slug: a/b}
  none: null
"""


def targets(*names: str, weights: Mapping[str, float] | None = None) -> list[Candidate]:
    """Candidates "provider/model"; a model named like one of PRICES costs that."""
    prices = dict(line.strip().split(": ", 1) for line in _joined(PRICES))
    entries: dict[str, list[str]] = {}
    for name in names:
        provider, model = name.split("/")
        entries.setdefault(provider, []).append(
            f"{model}: {{pricing: {prices.get(model, 'null')}}}"
        )
    providers = "\n".join(
        f"  {provider}: {{api_base_url: 'http://x/v1', api_key: k,"
        f" discount: {0.5 if provider == 'half' else 0}, models: {{{', '.join(models)}}}}}"
        for provider, models in entries.items()
    )
    listed = ", ".join(
        f"{{provider: {name.split('/')[0]}, model: {name.split('/')[1]},"
        f" weight: {(weights or {}).get(name, 1)}}}"
        for name in names
    )
    text = f"providers:\n{providers}\nmodels:\n  m: {{selector: in_order, targets: [{listed}]}}\n"
    return list(routed(snapshot_from(text), "m").candidates)


def _joined(text: str) -> list[str]:
    return [line for line in text.replace("\n           ", " ").splitlines() if line]


def ordered(
    names: str, selector: Selector | None, view: Known, random: Random | None = None
) -> str:
    found = order(targets(*names.split()), selector, view, random or Random(1))
    return " ".join("/".join(each.key) for each in found)


def ttft(ms: float) -> Measurement:
    return Measurement(ttft_ms=ms, last_sample_ms=NOW_MS)


def speed(tokens_per_s: float, e2e: float) -> Measurement:
    return Measurement(tokens_per_s=tokens_per_s, e2e_tokens_per_s=e2e, last_sample_ms=NOW_MS)


def recent(fresh: float, read: float, written: float, output: float) -> Measurement:
    """Tokens of the average request."""
    total = fresh + read + written + output
    mix = fresh / total, read / total, written / total, output / total
    return Measurement(mix=mix, tokens_per_request=total)


# ---- Without data


@pytest.mark.parametrize("selector", [each for each in get_args(Selector) if each != "random"])
def test_without_any_data_the_config_decides(selector: Selector) -> None:
    names = "b/x a/x c/x"
    assert ordered(names, selector, Known()) == names


@pytest.mark.parametrize("selector", [*get_args(Selector), None])
def test_every_candidate_is_in_the_order_once(selector: Selector | None) -> None:
    names = "a/plain b/free c/none c/x d/per_request"
    view = Known({"c/x": speed(3, 4), "a/plain": ttft(2)}, exploration=1)
    assert sorted(ordered(names, selector, view).split()) == sorted(names.split())


@pytest.mark.parametrize("selector", [*get_args(Selector), None])
def test_a_single_candidate_stays(selector: Selector | None) -> None:
    assert ordered("a/x", selector, Known(exploration=1)) == "a/x"


# ---- random


@pytest.mark.parametrize("selector", ["random", None])
def test_weights_decide_how_often_a_target_is_first(selector: Selector | None) -> None:
    names = ("a/x", "b/x", "c/x")
    found = targets(*names, weights={"a/x": 6, "b/x": 3, "c/x": 1})
    random = Random(11)
    first, second = Counter[str](), Counter[str]()
    for _ in range(10_000):
        one, two, _ = order(found, selector, Known(), random)
        first[one.provider_id] += 1
        if one.provider_id == "a":
            second[two.provider_id] += 1
    assert first["a"] == pytest.approx(6000, abs=200)
    assert first["b"] == pytest.approx(3000, abs=200)
    assert second["b"] / second["c"] == pytest.approx(3, abs=0.4)  # by the weights that are left


@pytest.mark.parametrize("weight", [1e-300, 1e300])
def test_any_weight_can_be_drawn(weight: float) -> None:
    found = targets("a/x", "b/x", weights={"b/x": weight})
    first = order(found, None, Known(), Random(1))[0].provider_id
    assert first == ("b" if weight > 1 else "a")


# ---- cost


@pytest.mark.parametrize(
    ("names", "best_first"),
    [
        ("a/catalogue b/none c/plain d/free", "d/free c/plain a/catalogue b/none"),
        ("a/cached b/plain", "b/plain a/cached"),
        ("a/plain half/plain", "half/plain a/plain"),
        ("b/plain a/plain", "b/plain a/plain"),
        ("a/plain b/per_request", "b/per_request a/plain"),
        ("half/catalogue a/plain", "a/plain half/catalogue"),
        ("a/plain b/ranged", "b/ranged a/plain"),
    ],
)
def test_cost_of_a_usual_request(names: str, best_first: str) -> None:
    assert ordered(names, "cost", Known()) == best_first


@pytest.mark.parametrize(
    ("names", "mixes", "best_first"),
    [
        # what is read from a cache makes the dearer one cheaper
        (
            "a/plain b/cached",
            {"a/plain": (9000, 0, 0, 100), "b/cached": (500, 8500, 0, 100)},
            "b/cached a/plain",
        ),
        # long prompts leave the cheap range
        ("a/ranged b/plain", {"b/plain": (30_000, 0, 0, 500)}, "b/plain a/ranged"),
        # a target does not become cheap by having got short requests, or dear by being known
        (
            "a/plain b/cached",
            {"a/plain": (20_000, 0, 0, 900), "b/cached": (200, 0, 0, 9)},
            "a/plain b/cached",
        ),
        ("a/cached b/plain", {"b/plain": (20_000, 0, 0, 900)}, "b/plain a/cached"),
        # nor does it stay the cheapest because its cache is warm
        ("a/cached half/cached", {"a/cached": (1000, 9000, 0, 200)}, "half/cached a/cached"),
        ("a/cached half/plain", {"a/cached": (500, 9000, 0, 20)}, "a/cached half/plain"),
        # a flat amount pays for long prompts
        ("a/plain b/per_request", {"a/plain": (300, 0, 0, 100)}, "a/plain b/per_request"),
        ("a/plain b/per_request", {"a/plain": (30_000, 0, 0, 100)}, "b/per_request a/plain"),
    ],
)
def test_cost_of_the_recent_mix(
    names: str, mixes: Mapping[str, tuple[float, float, float, float]], best_first: str
) -> None:
    view = Known({name: recent(*mix) for name, mix in mixes.items()})
    assert ordered(names, "cost", view) == best_first


# ---- What was measured


@pytest.mark.parametrize(
    ("selector", "measured", "best_first"),
    [
        ("latency", {"a/x": ttft(300), "b/x": ttft(200)}, "b/x a/x c/x d/x"),
        ("latency", {"d/x": ttft(9000)}, "d/x a/x b/x c/x"),
        ("latency", {"b/x": speed(10, 10), "c/x": ttft(5)}, "c/x a/x b/x d/x"),
        ("performance", {"b/x": speed(80, 10), "c/x": speed(90, 5)}, "c/x b/x a/x d/x"),
        ("e2e_performance", {"b/x": speed(80, 10), "c/x": speed(90, 5)}, "b/x c/x a/x d/x"),
        (
            "usage",
            {
                "a/x": Measurement(requests_24h=2),
                "b/x": Measurement(requests_24h=1),
                "c/x": Measurement(requests_24h=2),
            },
            "d/x b/x a/x c/x",
        ),
    ],
)
def test_best_measured_first(
    selector: Selector, measured: Mapping[str, Measurement], best_first: str
) -> None:
    assert ordered("a/x b/x c/x d/x", selector, Known(measured)) == best_first


@pytest.mark.parametrize(
    ("left", "best_first"),
    [
        # half a window with an hour to go before nearly all of one with a day to go
        (
            {
                "a": Left(share_left=0.9, resets_at_ms=NOW_MS + 24 * HOUR_MS),
                "b": Left(share_left=0.5, resets_at_ms=NOW_MS + HOUR_MS),
            },
            "b/x a/x c/x d/x",
        ),
        # windows, balances, unknown
        (
            {
                "b": Left(balance=3),
                "c": Left(balance=70),
                "d": Left(share_left=0.01, resets_at_ms=NOW_MS + 24 * HOUR_MS),
            },
            "d/x c/x b/x a/x",
        ),
        # what is left of a balance, debts last
        (
            {
                "a": Left(balance=-9),
                "b": Left(balance=0),
                "c": Left(balance=-1),
                "d": Left(balance=2),
            },
            "d/x b/x c/x a/x",
        ),
        # a share of nobody knows what until when is no window
        ({"b": Left(balance=1), "c": Left(share_left=1)}, "b/x a/x c/x d/x"),
        # a window that has begun anew since it was read
        (
            {
                "a": Left(share_left=1, resets_at_ms=NOW_MS + HOUR_MS),
                "b": Left(share_left=0.5, resets_at_ms=NOW_MS - HOUR_MS),
            },
            "b/x a/x c/x d/x",
        ),
    ],
)
def test_most_headroom_first(left: Mapping[str, Left], best_first: str) -> None:
    view = Known(left=left, now_ms=NOW_MS)
    assert ordered("a/x b/x c/x d/x", "quota", view) == best_first


# ---- Exploration

SEEN = {
    "a/x": Measurement(ttft_ms=1, tokens_per_s=9, e2e_tokens_per_s=9, last_sample_ms=NOW_MS),
    "b/x": Measurement(ttft_ms=9, tokens_per_s=1, e2e_tokens_per_s=1, last_sample_ms=NOW_MS - 9),
    "c/x": Measurement(ttft_ms=5, tokens_per_s=5, e2e_tokens_per_s=5, last_sample_ms=NOW_MS - 5),
}


def shares(selector: Selector, names: str, rate: float) -> dict[str, float]:
    """How often each is first."""
    random, found = Random(5), targets(*names.split())
    view = Known({**SEEN, "f/x": Measurement(requests_24h=7)}, exploration=rate)
    first = Counter(order(found, selector, view, random)[0].provider_id for _ in range(2000))
    return {provider: count / 2000 for provider, count in first.items()}


@pytest.mark.parametrize("selector", sorted(EXPLORING))
def test_the_stalest_is_measured_again_as_often_as_configured(selector: Selector) -> None:
    found = shares(selector, "a/x b/x c/x", 0.05)
    assert found == {"a": pytest.approx(0.95, abs=0.02), "b": pytest.approx(0.05, abs=0.02)}


@pytest.mark.parametrize("selector", sorted(EXPLORING))
def test_what_was_never_measured_is_tried_first_any_of_them(selector: Selector) -> None:
    found = shares(selector, "a/x b/x e/x f/x", 1)
    assert found == {"e": pytest.approx(0.5, abs=0.05), "f": pytest.approx(0.5, abs=0.05)}


@pytest.mark.parametrize("selector", sorted(EXPLORING))
def test_without_exploration_the_best_is_always_first(selector: Selector) -> None:
    assert shares(selector, "a/x b/x e/x", 0) == {"a": 1}


@pytest.mark.parametrize("selector", ["usage", "cost", "quota", "in_order"])
def test_other_selectors_never_explore(selector: Selector) -> None:
    assert len(shares(selector, "a/x b/x e/x", 1)) == 1


def test_the_others_keep_their_order_behind_an_explored_one() -> None:
    assert ordered("a/x b/x c/x", "latency", Known(SEEN, exploration=1)) == "b/x a/x c/x"
