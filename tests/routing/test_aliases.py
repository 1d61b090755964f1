"""Which targets a name leads to, as far as the config decides."""

from typing import get_args

import pytest
from support.routing import candidates, routed, snapshot_from

from plexus_proxy.config.model import ModelType
from plexus_proxy.config.snapshot import Snapshot
from plexus_proxy.errors import BadRequest, NoCandidate, UnknownModel
from plexus_proxy.routing.kinds import RequestKind, admits

YAML = """
providers:
  openai:
    api_base_url: https://api.openai.com/v1/
    api_key: k1
    extraBody: {a: provider, b: provider}
    models:
      gpt: {extraBody: {b: model, c: model}, pricing: {source: simple, input: 1, output: 2}}
      claude-like: {access_via: [messages, chat]}
      nowhere: {access_via: [gemini]}
      unnamed: {access_via: []}
      embed: {type: embeddings}
      whisper: {type: transcriptions}
      draw: {type: image}
      talker: {type: chat}
  both:
    api_base_url: {chat: http://both/v1, messages: http://both/anthropic, default: http://both/d}
    api_key: k2
  vectors:
    api_base_url: {chat: http://vectors/v1, embeddings: http://vectors/e}
    api_key: k3
  listing: {api_base_url: http://listing/v1, api_key: k4, models: [one, two/three]}
  off: {api_base_url: http://off/v1, api_key: k5, enabled: false}
  google: {api_base_url: "https://generativelanguage.googleapis.com", api_key: k6}
  signed: {api_base_url: "oauth://", api_key: k7, oauth_provider: anthropic}
  demo: {api_base_url: "demo://"}
models:
  smart:
    selector: in_order
    additional_aliases: [clever, org/clever]
    targets:
      - {provider: openai, model: gpt, weight: 3, cooldown_seconds: 9}
      - {provider: off, model: gpt}
      - {provider: both, model: "hf:org/x:free", enabled: false}
      - {provider: both, model: "hf:org/x"}
    extraBody: {c: alias}
  dead: {targets: [{provider: off, model: gpt}, {provider: ghost, model: x}]}
  empty: {targets: []}
  foreign:
    targets: [{provider: google, model: x}, {provider: openai, model: nowhere},
              {provider: signed, model: x}]
  grouped:
    selector: in_order
    additional_aliases: [both]
    target_groups:
      - {name: fast, targets: [{provider: openai, model: gpt}, {provider: listing, model: one}]}
      - {name: slow/er, targets: [{provider: both, model: m}]}
      - {name: gone, targets: [{provider: off, model: m}]}
  twice:
    selector: in_order
    targets:
      - {provider: both, model: m, enabled: false}
      - {provider: both, model: m, weight: 2, cooldown_seconds: 4}
      - {provider: listing, model: one}
      - {provider: both, model: m, weight: 5}
  outer:
    selector: in_order
    type: chat
    extraBody: {c: outer}
    target_groups:
      - name: first
        targets:
          - {alias: clever}
          - {provider: listing, model: one}
          - {alias: dead}
          - {alias: nobody}
          - {alias: grouped, enabled: false}
      - name: second
        targets: [{provider: both, model: last}, {provider: both, model: "hf:org/x"}]
  circle: {selector: in_order, targets: [{alias: circular}, {provider: both, model: a}]}
  circular: {selector: in_order, targets: [{provider: both, model: b}, {alias: circle}]}
  itself: {targets: [{alias: itself}]}
  demonstration: {targets: [{provider: demo, model: x}]}
  mixed:
    selector: in_order
    targets: [{provider: openai, model: embed}, {provider: openai, model: draw},
              {provider: openai, model: talker}, {provider: both, model: m},
              {provider: vectors, model: v}]
  talk:
    selector: in_order
    targets: [{provider: openai, model: talker}, {provider: both, model: m}]
  ears: {targets: [{provider: openai, model: whisper}]}
  typed-embeddings:
    selector: in_order
    type: embeddings
    targets: [{provider: both, model: m}, {provider: openai, model: talker}]
  typed-text: {type: text, targets: [{provider: both, model: m}]}
  typed-responses: {type: responses, targets: [{provider: both, model: m}]}
  typed-chat: {type: chat, targets: [{provider: both, model: m}]}
  typed-image: {type: image, targets: [{provider: both, model: m}]}
  typed-speech: {type: speech, targets: [{provider: both, model: m}]}
  typed-transcriptions: {type: transcriptions, targets: [{provider: both, model: m}]}
"""


@pytest.fixture(scope="module")
def snapshot() -> Snapshot:
    return snapshot_from(YAML)


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("smart", ["openai/gpt", "both/hf:org/x"]),
        ("clever", ["openai/gpt", "both/hf:org/x"]),
        ("grouped", ["openai/gpt", "listing/one", "both/m"]),
        ("demonstration", ["demo/x"]),
        ("twice", ["both/m", "listing/one"]),
        ("outer", ["listing/one", "openai/gpt", "both/hf:org/x", "both/last"]),
        ("circle", ["both/a", "both/b"]),
        ("circular", ["both/b", "both/a"]),
        ("direct/grouped/fast", ["openai/gpt", "listing/one"]),
        ("direct/grouped/slow/er", ["both/m"]),
        ("direct/both/slow/er", ["both/m"]),
        ("direct/both/slow", ["both/slow"]),
        ("direct/smart/default", ["openai/gpt", "both/hf:org/x"]),
        ("direct/org/clever/default", ["openai/gpt", "both/hf:org/x"]),
        ("direct/outer/first", ["listing/one", "openai/gpt", "both/hf:org/x"]),
        ("direct/both/org/model:free", ["both/org/model:free"]),
        ("direct/listing/two/three", ["listing/two/three"]),
    ],
)
def test_a_name_leads_to_its_usable_targets(
    snapshot: Snapshot, model: str, expected: list[str]
) -> None:
    assert candidates(routed(snapshot, model)) == expected


@pytest.mark.parametrize(
    ("model", "canonical", "alias", "direct"),
    [
        ("smart", "smart", "smart", False),
        ("clever", "smart", "smart", False),
        ("outer", "outer", "outer", False),
        ("direct/grouped/fast", "grouped", "grouped", False),
        ("direct/both/m", "direct/both/m", None, True),
    ],
)
def test_a_route_tells_whose_it_is(
    snapshot: Snapshot, model: str, canonical: str, alias: str | None, direct: bool
) -> None:
    found = routed(snapshot, model)
    assert found.canonical_model == canonical
    assert found.alias is (snapshot.config.models[alias] if alias else None)
    assert found.direct == direct


def test_extra_body_of_alias_wins_over_model_over_provider(snapshot: Snapshot) -> None:
    found = routed(snapshot, "smart").candidates[0]
    assert found.extra_body == {"a": "provider", "b": "model", "c": "alias"}


def test_targets_of_an_alias_within_get_the_extra_body_of_the_outer(snapshot: Snapshot) -> None:
    found = routed(snapshot, "outer")
    assert {each.extra_body["c"] for each in found.candidates} == {"outer"}


def test_a_candidate_brings_the_weight_and_cooldown_of_its_target(snapshot: Snapshot) -> None:
    found = routed(snapshot, "smart").candidates
    assert [(each.weight, each.cooldown_s) for each in found] == [(3, 9), (1, None)]


def test_a_target_listed_twice_is_one_with_the_weight_of_both(snapshot: Snapshot) -> None:
    found = routed(snapshot, "twice")
    assert (found.candidates[0].weight, found.candidates[0].cooldown_s) == (7, 4)
    assert found.reasons == {}


def test_a_route_says_why_targets_are_unusable(snapshot: Snapshot) -> None:
    assert routed(snapshot, "smart").reasons == {
        "off/gpt": "is disabled",
        "both/hf:org/x:free": "target disabled",
    }
    assert routed(snapshot, "outer").reasons == {
        "off/gpt": "is disabled",
        "both/hf:org/x:free": "target disabled",
        "ghost/x": "is not configured",
        "nobody": "is not configured",
        "grouped": "target disabled",
    }


@pytest.mark.parametrize(
    ("model", "reasons"),
    [
        ("dead", {"off/gpt": "is disabled", "ghost/x": "is not configured"}),
        (
            "foreign",
            dict.fromkeys(
                ("google/x", "openai/nowhere", "signed/x"), "speaks no supported API type"
            ),
        ),
        ("direct/grouped/gone", {"off/m": "is disabled"}),
        ("itself", {}),
    ],
)
def test_a_name_without_usable_target_says_why_for_each(
    snapshot: Snapshot, model: str, reasons: dict[str, str]
) -> None:
    with pytest.raises(NoCandidate) as caught:
        routed(snapshot, model)
    assert caught.value.reasons == reasons
    for target, reason in reasons.items():
        assert f"{target} ({reason})" in caught.value.message


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("missing", "Model 'missing' not found"),
        ("empty", "Model 'empty' not found"),
        ("", "not found"),
        ("direct/grouped/no", "'grouped' has no target group 'no'"),
        ("direct/org/clever/no", "'org/clever' has no target group 'no'"),
        ("direct/ghost/x", "provider 'ghost' is not configured"),
        ("direct/off/x", "provider 'off' is disabled"),
        ("direct/google/x", "speaks no supported API type"),
        ("direct/listing/four", "provider 'listing' does not list model 'four'"),
        ("direct/openai/four", "provider 'openai' does not list model 'four'"),
    ],
)
def test_an_unknown_model_is_the_clients_fault(snapshot: Snapshot, model: str, said: str) -> None:
    with pytest.raises(UnknownModel) as caught:
        routed(snapshot, model)
    assert said in caught.value.message
    assert (caught.value.status, caught.value.param) == (404, "model")


@pytest.mark.parametrize(
    "model", ["direct/", "direct/both", "direct/both/", "direct//x", "direct/grouped"]
)
def test_a_malformed_direct_name_is_a_bad_request(snapshot: Snapshot, model: str) -> None:
    with pytest.raises(BadRequest, match="direct/<provider>/<model>"):
        routed(snapshot, model)


@pytest.mark.parametrize(
    ("model", "wanted", "chosen", "url"),
    [
        ("direct/both/m", "messages", "messages", "http://both/anthropic"),
        ("direct/both/m", "responses", "chat", "http://both/v1"),
        ("direct/openai/claude-like", "messages", "messages", "https://api.openai.com/v1"),
        ("direct/openai/claude-like", "responses", "messages", "https://api.openai.com/v1"),
        ("direct/openai/unnamed", "messages", "chat", "https://api.openai.com/v1"),
    ],
)
def test_a_target_is_spoken_to_in_the_clients_format_if_it_can(
    snapshot: Snapshot, model: str, wanted: str, chosen: str, url: str
) -> None:
    found = routed(snapshot, model, wanted).candidates[0]
    assert (found.format, found.base_url) == (chosen, url)


OPENED: dict[str, RequestKind] = {
    "typed-chat": "text",
    "typed-responses": "text",
    "typed-text": "text",
    "typed-embeddings": "embeddings",
    "typed-transcriptions": "transcriptions",
    "typed-speech": "speech",
    "typed-image": "image",
    "direct/openai/talker": "text",
    "direct/openai/embed": "embeddings",
    "direct/openai/whisper": "transcriptions",
    "direct/openai/draw": "image",
}
PATHS: dict[RequestKind, str] = {
    "text": "/v1/chat/completions",
    "embeddings": "/v1/embeddings",
    "transcriptions": "/v1/audio/transcriptions",
    "speech": "/v1/audio/speech",
    "image": "/v1/images/generations",
}


@pytest.mark.parametrize("kind", PATHS)
@pytest.mark.parametrize("model", OPENED)
def test_a_type_opens_only_its_endpoints(snapshot: Snapshot, model: str, kind: RequestKind) -> None:
    if kind == OPENED[model]:
        assert routed(snapshot, model, kind=kind).candidates
        return
    with pytest.raises(BadRequest) as caught:
        routed(snapshot, model, kind=kind)
    assert PATHS[OPENED[model]] in caught.value.message
    assert (caught.value.status, caught.value.param) == (400, "model")


@pytest.mark.parametrize("kind", PATHS)
def test_no_type_opens_all_endpoints(snapshot: Snapshot, kind: RequestKind) -> None:
    assert candidates(routed(snapshot, "direct/both/m", kind=kind)) == ["both/m"]


@pytest.mark.parametrize(
    ("kind", "expected", "reasons"),
    [
        (
            "text",
            ["openai/talker", "both/m", "vectors/v"],
            {"openai/embed": "is for embeddings", "openai/draw": "is for images"},
        ),
        (
            "image",
            ["openai/draw", "both/m", "vectors/v"],
            {"openai/embed": "is for embeddings", "openai/talker": "is for text"},
        ),
        (
            "embeddings",
            ["openai/embed", "vectors/v"],
            {
                "openai/draw": "is for images",
                "openai/talker": "is not known to make embeddings",
                "both/m": "is not known to make embeddings",
            },
        ),
    ],
)
def test_targets_of_another_type_are_left_out_with_a_reason(
    snapshot: Snapshot, kind: RequestKind, expected: list[str], reasons: dict[str, str]
) -> None:
    found = routed(snapshot, "mixed", kind=kind)
    assert candidates(found) == expected
    assert found.reasons == reasons


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("typed-embeddings", ["both/m"]),  # the alias's type speaks for an untyped model only
        ("talk", ["openai/talker", "both/m"]),  # none is known to embed
        ("direct/vectors/v", ["vectors/v"]),
    ],
)
def test_who_gets_embeddings(snapshot: Snapshot, model: str, expected: list[str]) -> None:
    assert candidates(routed(snapshot, model, kind="embeddings")) == expected


def test_embeddings_go_to_the_providers_address_for_them(snapshot: Snapshot) -> None:
    found = routed(snapshot, "mixed", kind="embeddings").candidates
    assert [(each.format, each.base_url) for each in found] == [
        ("embeddings", "https://api.openai.com/v1"),
        ("embeddings", "http://vectors/e"),
    ]


def test_an_alias_of_only_another_type_sends_the_client_to_the_right_path(
    snapshot: Snapshot,
) -> None:
    with pytest.raises(BadRequest, match=r"'ears' is for transcriptions.*/v1/audio/transcriptions"):
        routed(snapshot, "ears")


@pytest.mark.parametrize("kind", [kind for kind in PATHS if kind != "text"])
def test_what_is_built_in_speaks_text_alone(snapshot: Snapshot, kind: RequestKind) -> None:
    with pytest.raises(NoCandidate, match="speaks no supported API type"):
        routed(snapshot, "demonstration", kind=kind)


def test_every_type_of_the_config_opens_one_kind() -> None:
    for model_type in get_args(ModelType):
        assert sum(admits(model_type, kind) for kind in PATHS) == 1
