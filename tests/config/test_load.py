"""Reading plexus.yaml: what loads, what is wrong with what does not, and where."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.canary import canary

from plexus_proxy.config.load import Problem, Snapshot, check_file, load, locate
from plexus_proxy.config.model import (
    DefinedPricing,
    FieldCondition,
    ModelOverride,
    ModelRule,
    ModelRules,
    OpenRouterPricing,
    PerRequestPricing,
    PriceTier,
    ReasoningContent,
    SimplePricing,
    SuppressDeveloperRole,
    WebSearchCoercion,
    WebSearchForm,
)
from plexus_proxy.settings import read_settings

SAMPLE = (Path(__file__).parent.parent.parent / "config" / "plexus.example.yaml").read_text()
BASE_RELEASE = Path(__file__).parent / "base_release.yaml"
HEAD = """\
adminKey: an-admin-key
providers:
  openai:
    api_base_url: https://api.openai.com/v1
    api_key: provider-key
    models: [gpt]
models:
  smart:
    targets:
      - {provider: openai, model: gpt}
keys:
  me: {secret: a-client-secret}
"""


def good(text: str, **more: Any) -> Snapshot:
    loaded, problems = load(text, **more)
    assert loaded is not None, problems
    assert problems == []
    return loaded


def said(text: str, **more: Any) -> list[str]:
    """The problems of a config that cannot be used, as an operator reads them."""
    loaded, problems = load(text, **more)
    assert loaded is None
    return [str(each) for each in problems]


def warned(text: str, **more: Any) -> list[str]:
    """The problems of a config that is used all the same."""
    loaded, problems = load(text, **more)
    assert loaded is not None, problems
    return [str(each) for each in problems]


def edited(old: str, new: str) -> str:
    assert HEAD.count(old) == 1
    return HEAD.replace(old, new)


# --- a file of the base release ---


@pytest.fixture(scope="module")
def base() -> Snapshot:
    return good(BASE_RELEASE.read_text(), loopback=False)


def test_a_base_release_file_loads_without_a_word(base: Snapshot) -> None:
    config = base.config
    assert list(config.providers) == [
        "openai",
        "claude",
        "codex",
        "multi",
        "google",
        "synthetic",
    ]
    assert list(config.models) == ["gpt-4.1", "claude", "fast", "embed", "voice", "paint"]
    assert {name: key.secret.reveal() for name, key in config.keys.items()} == {
        "laptop": "sk-base-laptop",
        "1234": "sk-base-1234",
    }
    assert config.admin_key.reveal() == "base-admin-key"


def test_every_provider_field_of_the_base_release_arrives(base: Snapshot) -> None:
    openai = base.config.providers["openai"]
    assert openai.api_base_url == "https://api.openai.com/v1"
    assert openai.api_key is not None
    assert openai.api_key.reveal() == "sk-base-openai"
    assert (openai.display_name, openai.enabled, openai.discount) == ("OpenAI", False, 0.25)
    assert openai.estimate_tokens is True
    assert {name: value.reveal() for name, value in openai.headers.items()} == {"X-Title": "plexus"}
    assert openai.extra_body == {"store": False, "metadata": {"tags": ["a", 1, None, 1.5]}}
    codex = base.config.providers["codex"]
    assert (codex.api_base_url, codex.api_key) == ("oauth://", None)
    assert codex.oauth_provider == "openai-codex"
    assert base.config.providers["google"].models == ("gemini-2.5-pro", "gemini-2.5-flash")
    multi = base.config.providers["multi"]
    assert multi.api_base_url == {
        "chat": "https://multi.example/v1",
        "messages": "https://multi.example/anthropic/v1",
        "responses": "",
        "default": "https://multi.example/v1",
    }


def test_every_pricing_of_the_base_release_arrives(base: Snapshot) -> None:
    models = base.config.providers["openai"].models
    assert isinstance(models, dict)
    assert models["gpt-4.1"].pricing == SimplePricing(input=2, output=8, cached=0.5)
    assert models["gpt-4.1"].access_via == ("chat", "responses")
    assert models["text-embedding-3-small"].type == "embeddings"
    assert models["text-embedding-3-small"].pricing is None
    multi = base.config.providers["multi"].models
    assert isinstance(multi, dict)
    assert multi["openai/gpt-4.1:free"].pricing == OpenRouterPricing(
        slug="openai/gpt-4.1", discount=0.1
    )
    tiered = multi["tiered"].pricing
    assert isinstance(tiered, DefinedPricing)
    assert [
        (each.lower_bound, each.upper_bound, each.input_per_m, each.output_per_m, each.cached_per_m)
        for each in tiered.range
    ] == [(0, 200000, 1.25, 10, 0.1), (200001, None, 2.5, 15, None)]
    assert multi["bare"].pricing is None


def test_every_model_field_of_the_base_release_arrives(base: Snapshot) -> None:
    alias = base.config.models["gpt-4.1"]
    assert (alias.selector, alias.priority, alias.type) == ("in_order", "api_match", "chat")
    assert alias.additional_aliases == ("gpt", "gpt-latest")
    assert [(each.provider, each.model, each.enabled) for each in alias.targets] == [
        ("openai", "gpt-4.1", True),
        ("multi", "openai/gpt-4.1:free", False),
    ]
    plain = base.config.models["fast"]
    assert (plain.selector, plain.priority, plain.additional_aliases) == (None, "selector", ())


def test_every_quota_field_of_the_base_release_arrives(base: Snapshot) -> None:
    first, second = base.config.quotas
    assert (first.id, first.type, first.provider) == ("codex-limits", "openai-codex", "codex")
    assert (first.enabled, first.interval_minutes, first.options) == (True, 30, {})
    assert (second.enabled, second.interval_minutes) == (False, 5)
    assert second.options == {
        "apiKey": "syn-base",
        "endpoint": "https://api.synthetic.new/v2/quotas",
    }


def test_a_flat_price_per_request_of_a_later_release_arrives() -> None:
    loaded = good(edited("[gpt]", "{gpt: {pricing: {source: per_request, amount: 0.04}}}"))
    models = loaded.config.providers["openai"].models
    assert isinstance(models, dict)
    assert models["gpt"].pricing == PerRequestPricing(amount=0.04)


METADATA = """\
models:
  smart:
    targets: [{provider: openai, model: gpt}]
    metadata:
      overrides:
        context_length: 8000
        pricing:
          prompt: "0.000002"
          completion: 8.0e-6
          input_cache_read: '0'
          tiers: [{input_tokens_above: 1000, prompt: ".5"}]
"""


def test_metadata_of_a_later_release_arrives_with_its_prices_as_texts() -> None:
    loaded = good(HEAD[: HEAD.index("models:\n  smart")] + METADATA + "keys: {}\n")
    said = loaded.config.models["smart"].metadata.overrides
    assert said.context_length == 8000
    assert (said.pricing.prompt, said.pricing.completion) == (0.000002, 0.000008)
    assert (said.pricing.input_cache_read, said.pricing.input_cache_write) == (0, None)
    assert said.pricing.tiers == (PriceTier(input_tokens_above=1000, prompt=0.5),)


@pytest.mark.parametrize("wrong", ["cheap", '"-1"', '""', "true", ".inf"])
def test_a_price_that_is_none_is_an_error_at_its_place(wrong: str) -> None:
    text = HEAD[: HEAD.index("models:\n  smart")] + METADATA + "keys: {}\n"
    loaded, problems = load(text.replace("8.0e-6", wrong))
    assert loaded is None
    [problem] = problems
    assert problem.path == "models.smart.metadata.overrides.pricing.completion"


# --- wrong types, all at once ---


def test_all_wrong_values_are_found_at_once_each_with_path_and_line() -> None:
    text = """\
adminKey: 12345
providers:
  one:
    api_base_url: 7
    api_key: k
    enabled: maybe
    discount: 1.5
    models: {m: {pricing: {source: simple, input: -1}, type: song}}
models:
  a:
    targets:
      - {provider: one}
      - text
    selector: best
keys:
  k: {secret: [x]}
quotas:
  - {id: q, type: t, provider: one, intervalMinutes: 0}
timeouts: {connect_s: 0, idle_s: .inf}
limits: {body_bytes: 1.5}
"""
    assert said(text) == [
        "adminKey (line 1): expected text, found a number; put it in quotes",
        "providers.one.api_base_url (line 4): expected text, found a number; put it in quotes",
        "providers.one.enabled (line 6): expected true or false, found text",
        "providers.one.discount (line 7): must be at most 1",
        "providers.one.models.m.pricing.input (line 8): must be at least 0",
        "providers.one.models.m.type (line 8): expected one of chat, embeddings, image, responses,"
        " speech, text, transcriptions",
        "models.a.targets[0].model (line 12): is required",
        "models.a.targets[1] (line 13): expected a mapping, found text",
        "models.a.selector (line 14): expected one of cost, e2e_performance, in_order,"
        " latency, performance, quota, random, usage",
        "keys.k.secret (line 16): expected text, found a list",
        "quotas[0].intervalMinutes (line 18): must be at least 1",
        "timeouts.connect_s (line 19): must be more than 0",
        "timeouts.idle_s (line 19): must be a finite number",
        "limits.body_bytes (line 20): expected a whole number",
    ]


@pytest.mark.parametrize("key", ["adminKey", "providers", "models", "keys"])
def test_a_missing_section_is_named(key: str) -> None:
    assert f"{key} (line 1): is required" in said(HEAD.replace(f"{key}:", f"{key}s:"))


def test_an_empty_section_says_how_to_write_none() -> None:
    text = edited("keys:\n  me: {secret: a-client-secret}", "keys:")
    assert said(text) == ["keys (line 11): expected a mapping, found nothing; write {} for none"]


def test_an_optional_key_without_a_value_counts_as_absent() -> None:
    loaded = good(edited("models: [gpt]", "models: [gpt]\n    headers:\n    display_name:"))
    assert loaded.config.providers["openai"].headers == {}


def test_a_pricing_without_or_with_an_unknown_source_lists_them() -> None:
    sources = "simple, defined, per_request, openrouter"
    none = edited("[gpt]", "{gpt: {pricing: {input: 1}}}")
    place = "providers.openai.models.gpt.pricing.source (line 6)"
    [line] = said(none)
    assert line.startswith(f"{place}: is required: one of ")
    assert set(line.rpartition("one of ")[2].split(", ")) == set(sources.split(", "))
    [line] = said(edited("[gpt]", "{gpt: {pricing: {source: free}}}"))
    assert line.startswith(f"{place}: expected one of ")


def test_an_empty_range_is_an_error() -> None:
    [line] = said(edited("[gpt]", "{gpt: {pricing: {source: defined, range: []}}}"))
    assert line == "providers.openai.models.gpt.pricing.range (line 6): must not be empty"


# --- unknown keys ---


@pytest.mark.parametrize(
    ("written", "nearest"),
    [("adminkey", "adminKey"), ("admin_key", "adminKey"), ("provider", "providers")],
)
def test_an_unknown_key_is_named_with_the_nearest_known_one(written: str, nearest: str) -> None:
    assert warned(f"{HEAD}{written}: x\n") == [
        f"{written} (line 13): warning: unknown key; did you mean '{nearest}'?"
    ]


def test_an_unknown_key_is_found_at_every_depth() -> None:
    text = edited("{provider: openai, model: gpt}", "{provider: openai, model: gpt, weigth: 3}")
    text = text.replace("[gpt]", "{gpt: {pricing: {source: simple, inputs: 3}}}")
    assert warned(text) == [
        "providers.openai.models.gpt.pricing.inputs (line 6): warning: unknown key;"
        " did you mean 'input'?",
        "models.smart.targets[0].weigth (line 10): warning: unknown key; did you mean 'weight'?",
    ]


def test_free_content_has_no_unknown_keys() -> None:
    good(edited("models: [gpt]", "models: [gpt]\n    extraBody: {adminkey: {a: [1]}}"))


# --- keys of later releases ---

LATER = """\
failover: {enabled: true, retryableStatusCodes: [500]}
cooldown: {initialMinutes: 2, maxMinutes: 300}
timeout: {defaultSeconds: 120}
stall: {ttfbSeconds: 10}
performanceExplorationRate: 0.05
backgroundExploration: {enabled: true}
vision_fallthrough: {descriptor_model: smart}
user_quotas: {daily: {type: daily, limitType: requests, limit: 5}}
trustedProxies: [10.0.0.0/8]
mcp_servers: {}
compaction: {enabled: false}
"""


def test_each_key_of_a_later_feature_gets_one_warning_that_names_it() -> None:
    lines = warned(HEAD + LATER)
    features = {
        "backgroundExploration": "exploration in the background",
        "vision_fallthrough": "vision fallthrough",
        "user_quotas": "quotas per key",
        "trustedProxies": "trusted proxies",
        "mcp_servers": "the MCP gateway",
        "compaction": "context compaction",
    }
    assert len(lines) == len(features)
    for line, (key, feature) in zip(lines, features.items(), strict=True):
        assert line.startswith(f"{key} (line ")
        assert f"({feature})" in line
        assert "warning" in line


def test_a_later_key_in_many_places_is_one_warning() -> None:
    keys = "".join(f"  k{n}: {{secret: s-{n}, allowedModels: [smart]}}\n" for n in range(50))
    [line] = warned(HEAD + keys)
    assert line.startswith("keys.k0.allowedModels (line 13): warning: ")
    assert "(key policies)" in line


def test_later_shapes_load_with_the_nearest_meaning() -> None:
    text = """\
adminKey: an-admin-key
providers:
  p:
    api_base_url: http://p/v1
    api_key: k
    gpu_profile: h100
    gpu_ram_gb: 80
    models: {m: {access_via: [{type: messages, subtype: x}, chat], type: text}}
models:
  a:
    selector: e2e_performance
    targets: [{alias: b}, {provider: p, model: m}]
  b: {target_groups: [{name: g, targets: [{provider: p, model: m}]}]}
keys: {}
"""
    loaded, problems = load(text)
    assert loaded is not None
    assert [(each.path, each.line) for each in problems] == [
        ("providers.p.gpu_profile", 6),
        ("providers.p.models.m.access_via", 8),
    ]
    models = loaded.config.providers["p"].models
    assert isinstance(models, dict)
    assert models["m"].access_via == ("messages", "chat")
    assert [(each.alias, each.provider) for each in loaded.config.models["a"].targets] == [
        ("b", ""),
        ("", "p"),
    ]
    assert loaded.config.models["a"].selector == "e2e_performance"
    [group] = loaded.config.models["b"].groups
    assert (group.name, group.targets[0].model) == ("g", "m")


# --- groups, aliases as targets, and rules ---


def _models(text: str) -> str:
    """HEAD's providers and keys with other models."""
    before, _, _ = HEAD.partition("models:\n  smart")
    return f"{before}models:\n{text}keys: {{}}\n"


TARGET = "{provider: openai, model: gpt}"


@pytest.mark.parametrize(
    ("models", "problem"),
    [
        (
            f"  a: {{targets: [{{alias: b, provider: openai}}]}}\n  b: {{targets: [{TARGET}]}}\n",
            "models.a.targets[0].alias (line 8): has a provider and a model beside it",
        ),
        ("  a: {targets: [{model: gpt}]}\n", "models.a.targets[0].provider (line 8): is required"),
        (
            "  a: {targets: [{alias: a}]}\n",
            "models.a (line 8): leads back to itself: a → a",
        ),
        (
            "  a: {targets: [{alias: bee}]}\n"
            "  b: {targets: [{alias: c}], additional_aliases: [bee]}\n"
            "  c: {target_groups: [{name: g, targets: [{alias: a}]}]}\n",
            "models.a (line 8): leads back to itself: a → b → c → a",
        ),
        (
            f"  a: {{target_groups: [{{name: g, targets: [{TARGET}]}},"
            " {name: g, targets: []}]}\n",
            "models.a.target_groups[1].name (line 8): another group of this model has this name",
        ),
    ],
)
def test_targets_that_cannot_be_are_errors(models: str, problem: str) -> None:
    assert said(_models(models)) == [problem]


@pytest.mark.parametrize(
    ("models", "problem"),
    [
        (
            "  a: {targets: [{alias: gone}]}\n",
            "models.a.targets[0].alias (line 8): warning: there is no model 'gone'; the target is"
            " skipped",
        ),
        (
            f"  a: {{targets: [{TARGET}], target_groups: [{{name: g, targets: [{TARGET}]}}]}}\n",
            "models.a.targets (line 8): warning: is not used: there are target_groups",
        ),
        (
            f"  a: {{target_groups: [{{name: g, targets: [{TARGET}]}},"
            f" {{name: h, targets: [{TARGET}]}}]}}\n",
            "models.a.target_groups[1].targets[0] (line 8): warning: is a target of this model"
            " already; the first one counts",
        ),
        (
            f"  a: {{targets: [{TARGET}]}}\n"
            "failover: {retryableErrors: [ENOTFUND, upstream_tls]}\n",
            "failover.retryableErrors[0] (line 9): warning: is no network error we know;"
            " did you mean 'ENOTFOUND'?",
        ),
        (
            f"  a: {{targets: [{TARGET}]}}\ncooldown: {{initialMinutes: 9, maxMinutes: 5}}\n",
            "cooldown.initialMinutes (line 9): warning: is more than maxMinutes, which is the"
            " limit",
        ),
    ],
)
def test_targets_and_rules_that_are_odd_are_warned_about(models: str, problem: str) -> None:
    assert warned(_models(models)) == [problem]


def test_two_ways_to_one_alias_are_no_circle() -> None:
    good(
        _models(
            "  a: {targets: [{alias: b}, {alias: c}]}\n"
            "  b: {targets: [{alias: c}]}\n"
            f"  c: {{targets: [{TARGET}]}}\n"
        )
    )


# --- YAML ---


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (HEAD + "a: b: c\n", 13),
        (HEAD + "a: 'open\n", None),
        (HEAD + "\tx: 1\n", 13),
        (HEAD + "a: [1, 2\nb: 3\n", None),
        (HEAD + "a: b\x00c\n", 13),
        (HEAD + "---\nadminKey: x\n", 13),
        (HEAD + "a: !env X\n", 13),
        (HEAD + "a: *nowhere\n", 13),
        (HEAD + "a: &loop [*loop]\n", 13),
        (HEAD + "? [a]\n: b\n", 13),
        (HEAD + "a: " + "[" * 5000 + "\n", 13),
    ],
)
def test_broken_yaml_is_one_error_with_its_line(text: str, line: int | None) -> None:
    loaded, problems = load(text)
    assert loaded is None
    [problem] = problems
    assert problem.severity == "error"
    assert problem.line == line or (line is None and problem.line is not None)


@pytest.mark.parametrize(
    "text", ["", "# nothing\n", "---\n", "null\n", "just text\n", "- a\n", "5"]
)
def test_a_file_that_is_no_mapping_says_what_is_expected(text: str) -> None:
    [line] = said(text)
    assert "expected a mapping with adminKey, providers, models and keys" in line


def test_a_key_given_twice_is_an_error_that_names_both_lines() -> None:
    text = edited("  me: {secret: a-client-secret}", "  me: {secret: aaa}\n  me: {secret: bbb}")
    text = text.replace("    api_key: provider-key\n", "    api_key: a\n    api_key: b\n")
    assert said(text) == [
        "providers.openai.api_key (line 6): is there twice; the first is on line 5",
        "keys.me (line 14): is there twice; the first is on line 13",
    ]


def test_anchors_and_merge_keys_work() -> None:
    text = edited(
        "models: [gpt]",
        "models: &models [gpt]\n    headers: &headers {x-a: one, x-b: two}\n"
        "  second:\n    api_base_url: https://second/v1\n    api_key: k\n    models: *models\n"
        "    headers: {<<: *headers, x-b: own}",
    )
    second = good(text).config.providers["second"]
    assert second.models == ("gpt",)
    assert {name: value.reveal() for name, value in second.headers.items()} == {
        "x-a": "one",
        "x-b": "own",
    }


def test_values_follow_yaml_1_2() -> None:
    values = "{a: yes, b: 0o17, c: 0x1F, d: 1e3, e: 2024-01-31, f: '5', g: ~, h: -7, i: .5, j: 012}"
    loaded = good(edited("models: [gpt]", f"models: [gpt]\n    extraBody: {values}"))
    found = loaded.config.providers["openai"].extra_body
    assert found == {
        "a": "yes",
        "b": 15,
        "c": 31,
        "d": 1000.0,
        "e": "2024-01-31",
        "f": "5",
        "g": None,
        "h": -7,
        "i": 0.5,
        "j": 12,
    }
    assert isinstance(found["d"], float)


def test_a_bomb_of_aliases_is_refused() -> None:
    bomb = "l0: &l0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 10)}]\n" for n in range(1, 9)
    )
    [line] = said(HEAD + bomb)
    assert "too large once its aliases are expanded" in line


def test_a_tower_of_aliases_is_refused() -> None:
    tower = "l0: &l0 [x]\n" + "".join(
        f"l{n}: &l{n} {'[' * 50}*l{n - 1}{']' * 50}\n" for n in range(1, 40)
    )
    [line] = said(HEAD + tower)
    assert "too large once its aliases are expanded" in line


@given(
    start=st.integers(0, 8000),
    length=st.integers(0, 40),
    put=st.text(alphabet=" \n\t:-{}[]&*!|>'\"%@`#,?<$aé0.~", max_size=8),
)
@settings(max_examples=150, deadline=None)
def test_whatever_an_editor_saves_is_answered_with_problems(
    start: int, length: int, put: str
) -> None:
    text = SAMPLE[:start] + put + SAMPLE[start + length :]
    loaded, problems = load(text, {})
    errors = [each for each in problems if each.severity == "error"]
    assert (loaded is None) == bool(errors)


# --- variables ---


def test_a_variable_in_a_flow_mapping_without_quotes_says_what_to_do() -> None:
    [line] = said(edited("a-client-secret", "${CLIENT}"), environment={"CLIENT": "x"})
    assert line.startswith("line 12: not valid YAML: ")
    assert "in quotes" in line


def test_variables_are_replaced_in_any_string() -> None:
    text = edited("provider-key", "${KEY}")
    text = text.replace("[gpt]", "['${M}-mini', \"${NONE:-gpt}\"]")
    text = text.replace("keys:", "keys:\n  other: {secret: 'pre-${KEY}-${M}-post'}", 1)
    text += "quotas: [{id: q, type: t, provider: openai, options: {deep: [{k: '${KEY}'}]}}]\n"
    loaded = good(text, environment={"KEY": "value # with marks", "M": "gpt-5"})
    openai = loaded.config.providers["openai"]
    assert openai.api_key is not None
    assert openai.api_key.reveal() == "value # with marks"
    assert openai.models == ("gpt-5-mini", "gpt")
    assert loaded.config.keys["other"].secret.reveal() == "pre-value # with marks-gpt-5-post"
    assert loaded.config.quotas[0].options == {"deep": [{"k": "value # with marks"}]}


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("$${HOME}", "${HOME}"),
        ("$$${A}", "$${A}"),
        ("${}", "${}"),
        ("${a b}", "${a b}"),
        ("$A", "$A"),
        ("cost: $5", "cost: $5"),
        ("${A}${A}", "aa"),
        ("${EMPTY}", ""),
        ("${EMPTY:-default}", "default"),
        ("${NONE:-}", ""),
        ("${NONE:-a:b-c}", "a:b-c"),
        ("${LOOKS_LIKE_ONE}", "${A}"),
    ],
)
def test_the_syntax_of_variables(written: str, expected: str) -> None:
    text = edited("models: [gpt]", f"models: [gpt]\n    extraBody: {{x: '{written}'}}")
    environment = {"A": "a", "EMPTY": "", "LOOKS_LIKE_ONE": "${A}"}
    loaded = good(text, environment=environment)
    assert loaded.config.providers["openai"].extra_body == {"x": expected}


def test_variables_stand_for_numbers_and_truth_values_too() -> None:
    text = edited("models: [gpt]", "models: [gpt]\n    enabled: ${ON}\n    discount: ${D:-0.5}")
    openai = good(text, environment={"ON": "false"}).config.providers["openai"]
    assert (openai.enabled, openai.discount) == (False, 0.5)
    assert said(text, environment={"ON": "perhaps"}) == [
        "providers.openai.enabled (line 7): expected true or false, found text"
    ]


def test_a_variable_that_is_not_set_is_named_at_every_place() -> None:
    text = edited("provider-key", "${NO_KEY}").replace("a-client-secret", "'x${NO_SECRET}x'")
    lines = said(text, environment={"OTHER": "value"})
    assert [line.partition(": ")[0] for line in lines] == [
        "providers.openai.api_key (line 5)",
        "keys.me.secret (line 12)",
    ]
    assert "NO_KEY" in lines[0]
    assert "NO_SECRET" in lines[1]


# --- what belongs together ---


def test_dangling_references_are_warnings() -> None:
    text = edited(
        "      - {provider: openai, model: gpt}",
        "      - {provider: openai, model: gtp}\n      - {provider: opneai, model: gpt}",
    )
    text += "quotas: [{id: q, type: t, provider: gone}]\n"
    assert warned(text) == [
        "models.smart.targets[0].model (line 10): warning:"
        " provider 'openai' does not list model 'gtp'",
        "models.smart.targets[1].provider (line 11): warning:"
        " there is no provider 'opneai'; the target is skipped",
        "quotas[0].provider (line 14): warning: there is no provider 'gone'",
    ]


def test_a_provider_that_lists_no_models_takes_any() -> None:
    good(edited("    models: [gpt]\n", ""))
    good(edited("models: [gpt]", "models: []"))


def test_a_provider_with_a_wrong_field_is_not_missing_too() -> None:
    assert len(said(edited("api_key: provider-key", "api_key: [1]"))) == 1


def test_of_duplicate_aliases_the_first_wins_with_a_warning() -> None:
    more = """\
  second: {targets: [{provider: openai, model: gpt}], additional_aliases: [both, smart]}
  third: {targets: [{provider: openai, model: gpt}], additional_aliases: [both, own]}
"""
    text = edited("keys:", more + "keys:")
    loaded, problems = load(text)
    assert loaded is not None
    assert loaded.alias_names["smart"] == "smart"
    assert loaded.alias_names["both"] == "second"
    assert loaded.alias_names["own"] == "third"
    assert [str(each) for each in problems] == [
        "models.second.additional_aliases[1] (line 11): warning: models.smart has this name and"
        " wins",
        "models.third.additional_aliases[0] (line 12): warning: models.second has this alias"
        " already and wins",
    ]


@pytest.mark.parametrize(
    "url", ["ftp://x/y", "api.openai.com/v1", "http://", "https:///v1", "http://[::1", "http://x:y"]
)
def test_a_single_url_must_be_one(url: str) -> None:
    [line] = said(edited("https://api.openai.com/v1", f"'{url}'"))
    assert line.startswith("providers.openai.api_base_url (line 4): is not a URL")


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:11434/v1", "http://[::1]:8080", "https://host", "demo://", "oauth://"]
)
def test_usable_urls(url: str) -> None:
    text = edited("https://api.openai.com/v1", f"'{url}'")
    good(text.replace("provider-key", "k\n    oauth_provider: anthropic"))


def test_urls_of_a_map_are_warned_about_only() -> None:
    text = edited("https://api.openai.com/v1", "{chat: nowhere, mesages: https://x, default: ''}")
    assert warned(text) == [
        "providers.openai.api_base_url.chat (line 4): warning: is not a URL that starts with"
        " http:// or https://",
        "providers.openai.api_base_url.mesages (line 4): warning: is not an API type;"
        " did you mean 'messages'?",
    ]


def _provider(fields: str) -> str:
    return edited("    api_base_url: https://api.openai.com/v1\n    api_key: provider-key", fields)


@pytest.mark.parametrize(
    "fields",
    [
        "    api_base_url: demo://",
        "    api_base_url: oauth://\n    oauth_provider: anthropic",
        "    api_base_url: oauth://anthropic",
        "    api_base_url: {oauth: 'oauth://', chat: https://x}\n    oauth_provider: openai-codex",
    ],
)
def test_an_account_or_the_demo_needs_no_key(fields: str) -> None:
    good(_provider(fields))


@pytest.mark.parametrize("key", ["", "\n    api_key:"])
def test_everyone_else_needs_one(key: str) -> None:
    [line] = said(_provider("    api_base_url: {chat: https://x, messages: demo://}" + key))
    assert line.startswith("providers.openai.api_key (line ")
    assert "is required" in line


def test_whose_account_it_is_must_be_known() -> None:
    [line] = said(_provider("    api_base_url: oauth://"))
    assert line.startswith("providers.openai.oauth_provider (line ")
    assert "openai-codex" in line
    [line] = said(_provider("    api_base_url: oauth://\n    oauth_provider: somebody"))
    assert "expected one of" in line


# --- secrets ---


def test_an_empty_secret_is_an_error() -> None:
    text = HEAD.replace("an-admin-key", "''").replace("a-client-secret", "'${NONE:-}'")
    assert said(text) == [
        "adminKey (line 1): must not be empty",
        "keys.me.secret (line 12): must not be empty",
    ]


def test_of_two_keys_with_one_secret_the_first_wins_with_a_warning() -> None:
    text = HEAD + "  you: {secret: a-client-secret}\n"
    loaded, problems = load(text)
    assert loaded is not None
    assert list(loaded.key_names.values()) == ["me"]
    assert [str(each) for each in problems] == [
        "keys.you.secret (line 13): warning: keys.me has the same secret; requests count for it"
    ]


@pytest.mark.parametrize("secret", ["'with:colon'", "' spaced'", "an-admin-key"])
def test_a_secret_that_cannot_work_as_meant_is_warned_about(secret: str) -> None:
    [line] = warned(edited("a-client-secret", secret))
    assert line.startswith("keys.me.secret (line 12): warning: ")


@pytest.mark.parametrize(
    ("place", "old", "sample"),
    [
        ("adminKey (line 1)", "an-admin-key", "change-this-admin-key"),
        ("keys.me.secret (line 12)", "a-client-secret", "sk-change-this-client-key"),
    ],
)
def test_a_published_sample_secret_is_taken_on_loopback_only(
    place: str, old: str, sample: str
) -> None:
    text = edited(old, sample)
    [line] = warned(text, loopback=True)
    assert line.startswith(f"{place}: warning: is the sample secret")
    [line] = said(text, loopback=False)
    assert line.startswith(f"{place}: is the sample secret")


def test_no_message_shows_a_value() -> None:
    """Every place that can hold a secret, broken in every way we have words for."""
    minted: list[str] = []

    def mint() -> str:
        minted.append(canary("value"))
        return minted[-1]

    texts = [
        edited("api_key: provider-key", f"api_key: [{mint()}]"),
        edited("https://api.openai.com/v1", f"ftp://{mint()}"),
        edited("https://api.openai.com/v1", f"https://user:{mint()}@host/v1"),
        edited("models: [gpt]", f"enabled: {mint()}\n    oauth_provider: {mint()}"),
        edited("models: [gpt]", f"discount: {mint()}\n    timeouts: {mint()}"),
        edited("models: [gpt]", f"models: {{gpt: {{pricing: {{source: {mint()}}}}}}}"),
        edited("an-admin-key", f"*{mint()}"),
        edited("an-admin-key", f"!{mint()} x"),
        edited("an-admin-key", f"&{mint()} &{mint()} x"),
        edited("an-admin-key", f'"\\q{mint()}'),
        edited("an-admin-key", f"{mint()}: {mint()}"),
        edited("an-admin-key", f"@{mint()}"),
        edited("an-admin-key", f"'{mint()}"),
        edited("an-admin-key", f"[{mint()}, {mint()}"),
        edited("an-admin-key", f"|{mint()}"),
        edited("an-admin-key", f"{mint()}\x00"),
        f"%{mint()}\n{HEAD}",
        edited("a-client-secret", f"'{mint()}:x'"),
        edited("a-client-secret", f"same\n  b: {mint()}\n  c: {{secret: [{mint()}]"),
        HEAD + f"  two: {{secret: &a {mint()}}}\n  three: {{secret: *a}}\n",
        edited("provider-key", "${SET}${NOT_SET}"),
        mint(),
    ]
    environment = {"SET": mint()}
    for text in texts:
        problems = load(text, environment, loopback=False)[1]
        assert problems, text
        shown = "\n".join(map(str, problems)) + repr(problems)
        assert not [each for each in minted if each in shown], shown


def test_nothing_that_was_loaded_shows_a_secret() -> None:
    admin, key, provider, header = (canary(kind) for kind in ("admin", "key", "prov", "header"))
    text = HEAD.replace("an-admin-key", admin).replace("a-client-secret", key)
    text = text.replace("provider-key", f"{provider}\n    headers: {{x-a: {header}}}")
    loaded = good(text)
    shown = repr(loaded) + str(loaded) + repr(loaded.config)
    assert not [each for each in (admin, key, provider, header) if each in shown]


# --- files ---


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    [problem] = check_file(tmp_path / "nowhere.yaml")
    assert problem.severity == "error"
    assert "nowhere.yaml" in str(problem)


def test_a_file_that_is_not_text_names_the_line(tmp_path: Path) -> None:
    path = tmp_path / "binary.yaml"
    path.write_bytes(HEAD.encode() + b"comment: \xff\n")
    [problem] = check_file(path)
    assert "line 13" in str(problem)


def test_a_file_with_a_byte_order_mark_and_windows_line_ends_loads(tmp_path: Path) -> None:
    path = tmp_path / "windows.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + (HEAD + "odd: 1\n").replace("\n", "\r\n").encode())
    [problem] = check_file(path)
    assert (problem.path, problem.line, problem.severity) == ("odd", 13, "warning")


def test_where_the_config_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    unnamed = read_settings({"DATA_DIR": "data"})
    usual, fallback = Path("config/plexus.yaml"), Path("data/plexus.yaml")
    assert locate(unnamed) == usual
    fallback.parent.mkdir()
    fallback.touch()
    assert locate(unnamed) == fallback
    usual.parent.mkdir()
    usual.touch()
    assert locate(unnamed) == usual
    named = read_settings({"DATA_DIR": "data", "CONFIG_FILE": "/etc/p.yaml"})
    assert locate(named) == Path("/etc/p.yaml")


@pytest.mark.parametrize(
    ("problem", "text"),
    [
        (Problem("a.b", 3, "error", "is required"), "a.b (line 3): is required"),
        (Problem("a", 3, "warning", "odd"), "a (line 3): warning: odd"),
        (Problem("", 3, "error", "broken"), "line 3: broken"),
        (Problem("", None, "error", "broken"), "broken"),
    ],
)
def test_how_a_problem_reads(problem: Problem, text: str) -> None:
    assert str(problem) == text


def test_names_with_dots_are_quoted_in_paths() -> None:
    text = edited("smart:", "gpt-4.1:").replace("model: gpt}", "model: 5}")
    [line] = said(text)
    assert line.startswith('models."gpt-4.1".targets[0].model (line 10): ')


# --- adapters ---


def test_adapters_load_as_names_lists_and_mappings() -> None:
    text = """\
adminKey: an-admin-key
providers:
  p:
    api_base_url: http://p/v1
    api_key: k
    adapter: reasoning_content
    models:
      m:
        adapter:
          - suppress_developer_role
          - {name: web_search_coercion, options: {target: openai}, enabled: false}
          - name: model_override
            options:
              rules: [{model: a, rewriteTo: b, conditions: [{field: x}, {field: y, value: 1}]}]
models: {}
keys: {}
"""
    loaded, problems = load(text)
    assert problems == []
    assert loaded is not None
    provider = loaded.config.providers["p"]
    assert provider.adapter == (ReasoningContent(),)
    assert isinstance(provider.models, dict)
    rule = ModelRule(
        model="a",
        rewrite_to="b",
        conditions=(FieldCondition(field="x"), FieldCondition(field="y", value=1)),
    )
    assert provider.models["m"].adapter == (
        SuppressDeveloperRole(),
        WebSearchCoercion(options=WebSearchForm(target="openai"), enabled=False),
        ModelOverride(options=ModelRules(rules=(rule,))),
    )


def test_an_adapter_of_another_release_is_skipped_with_a_warning() -> None:
    text = """\
adminKey: an-admin-key
providers:
  p:
    api_base_url: http://p/v1
    api_key: k
    adapter:
      - {name: strip_unsupported_tool_search, options: {}}
      - suppress_developer_role
models: {}
keys: {}
"""
    loaded, [problem] = load(text)
    assert loaded is not None
    assert loaded.config.providers["p"].adapter == (SuppressDeveloperRole(),)
    assert (problem.severity, problem.path) == ("warning", "providers.p.adapter[0]")
    assert problem.line == 7


@pytest.mark.parametrize(
    ("use", "place"),
    [
        ("{name: model_override}", "providers.p.adapter[0].options"),
        ("{options: {}}", "providers.p.adapter[0].name"),
        (
            "{name: web_search_coercion, options: {target: bing}}",
            "providers.p.adapter[0].options.target",
        ),
        ("5", "providers.p.adapter[0]"),
    ],
)
def test_a_wrong_adapter_is_an_error_at_its_place(use: str, place: str) -> None:
    text = (
        "adminKey: an-admin-key\nproviders:\n  p:\n    api_base_url: http://p/v1\n"
        f"    api_key: k\n    adapter: [{use}]\nmodels: {{}}\nkeys: {{}}\n"
    )
    _, problems = load(text)
    assert [(each.severity, each.path, each.line) for each in problems] == [("error", place, 6)]
