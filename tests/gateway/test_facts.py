"""What is known of a model, and where it comes from."""

import json
from typing import Any

import msgspec
import pytest

from plexus_proxy.config.load import load
from plexus_proxy.gateway.facts import Facts, facts_of
from plexus_proxy.usage.catalogue import Catalogue
from plexus_proxy.usage.money import usd_text

CATALOGUE = Catalogue(
    json.dumps(
        {
            "vendors": [
                {
                    "name": "acme",
                    "url": "https://acme",
                    "models": [
                        {
                            "names": ["big"],
                            "context": 1000,
                            "rates": [[0, 2, 8, 0.5, None], [200, 4, 16, None, None]],
                        },
                        {"names": ["small"], "context": 500},
                    ],
                }
            ]
        }
    ).encode()
)
LISTED = {
    "prompt": "0.000002",
    "completion": "0.000008",
    "input_cache_read": "0.0000005",
    "tiers": [{"input_tokens_above": 200, "prompt": "0.000004", "completion": "0.000016"}],
}
SIMPLE = {"source": "simple", "input": 3, "output": 15, "cached": 0.3}


def known(
    pricing: Any = None,
    *,
    kind: str | None = None,
    provider: dict[str, Any] | None = None,
    targets: list[dict[str, Any]] | None = None,
    **alias: Any,
) -> Facts:
    """The facts of an alias whose provider `p` charges `pricing` for its model `m`, after the
    config was read from text."""
    model = {"pricing": pricing} | ({"type": kind} if kind else {})
    usual = {"api_base_url": "http://p/v1", "api_key": "k", "models": {"m": model}}
    off: dict[str, Any] = {
        "api_base_url": "http://q/v1",
        "api_key": "k",
        "enabled": False,
        "models": {"m": {}},
    }
    config: dict[str, Any] = {
        "adminKey": "a",
        "providers": {"p": usual | (provider or {}), "off": off},
        "models": {"a": {"targets": targets or [{"provider": "p", "model": "m"}]} | alias},
        "keys": {},
    }
    loaded, problems = load(json.dumps(config))
    assert loaded is not None, problems
    return facts_of(loaded.config.models["a"], loaded.config, CATALOGUE)


def prices(found: Facts) -> Any:
    return json.loads(msgspec.json.encode(found.prices))


def test_nothing_is_made_up() -> None:
    assert known() == Facts()
    assert known(kind="chat") == Facts(type="chat")


def test_rates_become_prices_of_one_token() -> None:
    assert prices(known(SIMPLE)) == {
        "prompt": "0.000003",
        "completion": "0.000015",
        "input_cache_read": "0.0000003",
    }
    free = {"source": "simple", "input": 0, "output": 0}
    assert prices(known(free)) == {"prompt": "0", "completion": "0"}


def test_prices_are_told_before_a_discount() -> None:
    """The lists are public; what an account gets is between the operator and the vendor."""
    for discount in (0, 0.5):
        assert prices(known(SIMPLE, provider={"discount": discount}))["prompt"] == "0.000003"
        flat = known({"source": "per_request", "amount": 0.04}, provider={"discount": discount})
        assert prices(flat) == {"request": "0.04"}


def test_ranges_become_tiers_whatever_their_order() -> None:
    long = {"lower_bound": 200001, "input_per_m": 6, "output_per_m": 22.5}
    middle = {"lower_bound": 1000, "upper_bound": 200000, "input_per_m": 4, "output_per_m": 20}
    short = {"upper_bound": 999, "input_per_m": 3, "output_per_m": 15, "cached_per_m": 0.3}
    assert prices(known({"source": "defined", "range": [long, short, middle]})) == {
        "prompt": "0.000003",
        "completion": "0.000015",
        "input_cache_read": "0.0000003",
        "tiers": [
            {"input_tokens_above": 999, "prompt": "0.000004", "completion": "0.00002"},
            {"input_tokens_above": 200000, "prompt": "0.000006", "completion": "0.0000225"},
        ],
    }


def test_what_is_overridden_wins_price_by_price() -> None:
    tier = {"input_tokens_above": 10, "prompt": 0.1}
    said = {"completion": 0.00001, "input_cache_write": 0, "tiers": [tier]}
    assert prices(known(SIMPLE, metadata={"overrides": {"pricing": said}})) == {
        "prompt": "0.000003",
        "completion": "0.00001",
        "input_cache_read": "0.0000003",
        "input_cache_write": "0",
        "tiers": [{"input_tokens_above": 10, "prompt": "0.1"}],
    }


def test_the_providers_own_context_wins() -> None:
    over = {"context_length": 10, "top_provider": {"context_length": 8}}
    assert known(metadata={"overrides": over}).context_length == 8
    assert known(metadata={"overrides": {"context_length": 10}}).context_length == 10


def test_the_first_target_that_can_be_used_is_asked() -> None:
    passed_over: list[dict[str, Any]] = [
        {"provider": "nobody", "model": "m"},
        {"provider": "off", "model": "m"},
        {"provider": "p", "model": "dear", "enabled": False},
    ]
    models = {"m": {"pricing": SIMPLE}, "dear": {"pricing": SIMPLE | {"input": 99}}}
    targets = [*passed_over, {"provider": "p", "model": "m"}]
    assert prices(known(provider={"models": models}, targets=targets))["prompt"] == "0.000003"
    assert known(provider={"models": models}, targets=passed_over).prices is None


@pytest.mark.parametrize(
    ("kind", "takes", "gives"),
    [
        ("embeddings", "text", "embeddings"),
        ("transcriptions", "audio", "text"),
        ("speech", "text", "audio"),
        ("image", "text", "image"),
    ],
)
def test_modalities_follow_from_a_type_that_is_not_text(kind: str, takes: str, gives: str) -> None:
    for found in (known(kind=kind), known(type=kind)):
        assert found.type == kind
        assert found.architecture is not None
        assert found.architecture.input_modalities == (takes,)
        assert found.architecture.output_modalities == (gives,)
    more = {"architecture": {"input_modalities": [takes, "image"]}}
    found = known(kind=kind, metadata={"overrides": more})
    assert found.architecture is not None
    assert found.architecture.input_modalities == (takes, "image")
    assert found.architecture.output_modalities == (gives,)


def at_acme(model: str, models: Any = ("big", "small"), **alias: Any) -> Facts:
    provider = {"api_base_url": {"chat": "https://acme/v1"}, "models": models}
    return known(provider=provider, targets=[{"provider": "p", "model": model}], **alias)


def test_the_catalogue_knows_the_model_of_a_vendor() -> None:
    found = at_acme("big")
    assert (found.context_length, prices(found)) == (1000, LISTED)
    small = at_acme("small")
    assert (small.context_length, small.prices) == (500, None)
    assert at_acme("other") == Facts()


def test_a_price_of_ones_own_wins_over_the_catalogues() -> None:
    found = at_acme("big", {"big": {"pricing": SIMPLE | {"input": 9}}})
    assert found.context_length == 1000
    assert prices(found) == {
        "prompt": "0.000009",
        "completion": "0.000015",
        "input_cache_read": "0.0000003",
    }


def test_overrides_win_over_the_catalogue() -> None:
    over = {"context_length": 10, "pricing": {"prompt": 1}}
    found = at_acme("big", metadata={"overrides": over})
    assert found.context_length == 10
    assert prices(found) == LISTED | {"prompt": "1"}


@pytest.mark.parametrize("source", ["auto", "openrouter", "models.dev", "catwalk"])
def test_a_path_names_the_model_in_the_catalogue(source: str) -> None:
    found = known(metadata={"source": source, "source_path": "acme/big"})
    assert (found.context_length, prices(found)) == (1000, LISTED)
    assert at_acme("big", metadata={"source": source, "source_path": "acme/none"}) == Facts()


def test_a_slug_of_the_price_names_the_model_too() -> None:
    found = known({"source": "openrouter", "slug": "acme/big", "discount": 0.5})
    assert (found.context_length, prices(found)) == (1000, LISTED)


@pytest.mark.parametrize("source", ["custom", "disabled"])
def test_the_catalogue_is_not_asked_where_it_is_not_wanted(source: str) -> None:
    assert at_acme("big", metadata={"source": source, "source_path": "acme/big"}) == Facts()


@pytest.mark.parametrize(
    ("usd", "text"),
    [(0, "0"), (2e-6, "0.000002"), (1e-12, "0.000000000001"), (100, "100"), (0.10, "0.1")],
)
def test_prices_are_plain_decimals(usd: float, text: str) -> None:
    assert usd_text(usd) == text


@pytest.mark.parametrize(
    ("rate", "text"),
    [(0, "0"), (1.75, "0.00000175"), (1e6, "1"), (1e7, "10"), (1e-6, f"0.{'0' * 11}1")],
)
def test_a_rate_is_the_price_of_a_million(rate: float, text: str) -> None:
    assert usd_text(rate, 1_000_000) == text
