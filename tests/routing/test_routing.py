"""Alias resolution, direct routing, format choice and the order of candidates."""

from random import Random

import pytest

from plexus_proxy.config.load import load
from plexus_proxy.config.snapshot import Snapshot
from plexus_proxy.errors import BadRequest, NoCandidate, UnknownModel
from plexus_proxy.routing.access import base_url, choose_format, provider_types
from plexus_proxy.routing.aliases import route
from plexus_proxy.upstream.request import endpoint_url

SPOKEN = ("chat", "messages")
YAML = """
adminKey: admin-key-for-routing-tests
providers:
  openai:
    api_base_url: https://api.openai.com/v1/
    api_key: k1
    extraBody: {a: provider, b: provider}
    models:
      gpt: {extraBody: {b: model, c: model}, pricing: {source: simple, input: 1, output: 2}}
      claude-like: {access_via: [messages, chat]}
      nowhere: {access_via: [gemini]}
  both:
    api_base_url: {chat: http://both/v1, messages: http://both/anthropic, default: http://both/d}
    api_key: k2
  off: {api_base_url: http://off/v1, api_key: k3, enabled: false}
  google: {api_base_url: "https://generativelanguage.googleapis.com", api_key: k4}
models:
  smart:
    selector: in_order
    additional_aliases: [clever]
    targets:
      - {provider: openai, model: gpt}
      - {provider: off, model: gpt}
      - {provider: both, model: "hf:org/x:free", enabled: false}
      - {provider: both, model: "hf:org/x"}
    extraBody: {c: alias}
  spread:
    targets: [{provider: openai, model: gpt}, {provider: both, model: m}]
  matched:
    selector: in_order
    priority: api_match
    targets: [{provider: openai, model: gpt}, {provider: both, model: m}]
  dead: {targets: [{provider: off, model: gpt}, {provider: ghost, model: x}]}
  empty: {targets: []}
  foreign: {targets: [{provider: google, model: x}, {provider: openai, model: nowhere}]}
keys:
  k: {secret: sk-routing-tests}
"""


@pytest.fixture(scope="module")
def snapshot() -> Snapshot:
    loaded, problems = load(YAML)
    assert loaded is not None, problems
    return loaded


def names(snapshot: Snapshot, model: str, wanted: str = "chat") -> list[str]:
    found = route(model, wanted, SPOKEN, snapshot, Random(7))
    return [f"{c.provider_id}/{c.model}:{c.format}" for c in found.candidates]


def test_in_order_keeps_usable_targets_in_config_order(snapshot: Snapshot) -> None:
    assert names(snapshot, "smart") == ["openai/gpt:chat", "both/hf:org/x:chat"]


def test_additional_alias_leads_to_the_primary_name(snapshot: Snapshot) -> None:
    assert route("clever", "chat", SPOKEN, snapshot, Random(1)).canonical_model == "smart"


def test_random_orders_every_target_first_about_equally_often(snapshot: Snapshot) -> None:
    random = Random(3)
    first = [
        route("spread", "chat", SPOKEN, snapshot, random).candidates[0].provider_id
        for _ in range(400)
    ]
    assert 140 < first.count("openai") < 260


def test_api_match_prefers_targets_of_the_clients_format(snapshot: Snapshot) -> None:
    assert names(snapshot, "matched", "messages") == ["both/m:messages"]
    assert names(snapshot, "matched", "chat") == ["openai/gpt:chat", "both/m:chat"]


def test_extra_body_of_alias_wins_over_model_over_provider(snapshot: Snapshot) -> None:
    found = route("smart", "chat", SPOKEN, snapshot, Random(1)).candidates[0]
    assert found.extra_body == {"a": "provider", "b": "model", "c": "alias"}


@pytest.mark.parametrize("model", ["missing", "empty", ""])
def test_unknown_model_is_the_clients_fault(snapshot: Snapshot, model: str) -> None:
    with pytest.raises(UnknownModel):
        names(snapshot, model)


def test_alias_without_usable_target_says_why_for_each(snapshot: Snapshot) -> None:
    with pytest.raises(NoCandidate) as caught:
        names(snapshot, "dead")
    assert caught.value.reasons == {"off/gpt": "is disabled", "ghost/x": "is not configured"}
    with pytest.raises(NoCandidate, match="speaks no supported API type"):
        names(snapshot, "foreign")


def test_direct_model_may_hold_slashes_and_colons(snapshot: Snapshot) -> None:
    found = route("direct/both/org/model:free", "messages", SPOKEN, snapshot, Random(1))
    assert found.canonical_model == "direct/both/org/model:free"
    assert found.candidates[0].model == "org/model:free"
    assert found.candidates[0].base_url == "http://both/anthropic"


@pytest.mark.parametrize("model", ["direct/", "direct/both", "direct/both/", "direct//x"])
def test_malformed_direct_name_is_a_bad_request(snapshot: Snapshot, model: str) -> None:
    with pytest.raises(BadRequest):
        names(snapshot, model)


@pytest.mark.parametrize("model", ["direct/ghost/x", "direct/off/x"])
def test_direct_to_unknown_or_disabled_provider_is_not_found(
    snapshot: Snapshot, model: str
) -> None:
    with pytest.raises(UnknownModel):
        names(snapshot, model)


def test_access_via_wins_over_the_providers_type(snapshot: Snapshot) -> None:
    assert names(snapshot, "direct/openai/claude-like", "messages") == [
        "openai/claude-like:messages"
    ]


def test_api_type_is_inferred_from_the_url(snapshot: Snapshot) -> None:
    providers = snapshot.config.providers
    assert provider_types(providers["openai"]) == ("chat",)
    assert provider_types(providers["google"]) == ("gemini",)
    assert provider_types(providers["both"]) == ("chat", "messages")


def test_base_url_by_type_then_default(snapshot: Snapshot) -> None:
    both = snapshot.config.providers["both"]
    assert base_url(both, "messages") == "http://both/anthropic"
    assert base_url(both, "responses") == "http://both/d"
    assert base_url(snapshot.config.providers["openai"], "chat") == "https://api.openai.com/v1"


def test_format_falls_back_to_the_first_one_we_speak() -> None:
    assert choose_format(("gemini", "messages", "chat"), "responses", SPOKEN) == "messages"
    assert choose_format(("gemini",), "chat", SPOKEN) is None


def test_a_format_that_only_clients_speak_is_translated() -> None:
    assert choose_format(("completions", "chat"), "completions", SPOKEN) == "chat"
    assert choose_format(("completions",), "completions", SPOKEN) is None


@pytest.mark.parametrize(
    ("base", "endpoint", "url"),
    [
        ("https://a/v1", "/chat/completions", "https://a/v1/chat/completions"),
        ("https://a/v1/chat/completions", "/chat/completions", "https://a/v1/chat/completions"),
        ("https://api.anthropic.com", "/messages", "https://api.anthropic.com/v1/messages"),
        ("https://api.anthropic.com/v1", "/messages", "https://api.anthropic.com/v1/messages"),
        ("http://host:8080", "/chat/completions", "http://host:8080/chat/completions"),
        ("https://g/v1beta", "/v1beta/models/m:x", "https://g/v1beta/models/m:x"),
        ("https://g", "/v1beta/models/m:x", "https://g/v1beta/models/m:x"),
    ],
)
@pytest.mark.pitfall("B64")
def test_base_urls_are_tolerated_however_they_are_written(
    base: str, endpoint: str, url: str
) -> None:
    assert endpoint_url(base, endpoint) == url
