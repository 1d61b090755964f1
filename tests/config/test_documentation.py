"""docs/CONFIGURATION.md and the sample config say all that model.py knows, and nothing else."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from msgspec import NODEFAULT, Struct, inspect

from plexus_proxy.config import model
from plexus_proxy.config.load import check_file, load
from plexus_proxy.config.model import Config

ROOT = Path(__file__).parent.parent.parent
SAMPLE = ROOT / "config" / "plexus.example.yaml"
DOCUMENT = (ROOT / "docs" / "CONFIGURATION.md").read_text()

WHERE = {
    model.Config: "## Top level",
    model.Provider: "## Provider",
    model.ProviderModel: "### Provider model",
    model.ReasoningContent: "`name: reasoning_content`",
    model.SuppressDeveloperRole: "`name: suppress_developer_role`",
    model.SuppressGpt5Options: "`name: suppress_unsupported_gpt5_options`",
    model.NormalizeToolIds: "`name: normalize_anthropic_tool_ids`",
    model.ModelOverride: "`name: model_override`",
    model.ModelRules: "Its options:",
    model.ModelRule: "Each model rule:",
    model.FieldCondition: "Each condition:",
    model.ReasoningRewrite: "`name: reasoning_rewrite`",
    model.ReasoningRules: "The options of reasoning_rewrite:",
    model.ReasoningRule: "Each reasoning rule:",
    model.ReasoningCondition: "Each comparison:",
    model.Rewrite: "Each rewrite:",
    model.WebSearchCoercion: "`name: web_search_coercion`",
    model.WebSearchForm: "The options of web_search_coercion:",
    model.SimplePricing: "`source: simple`",
    model.DefinedPricing: "`source: defined`",
    model.PriceRange: "Each range:",
    model.PerRequestPricing: "`source: per_request`",
    model.OpenRouterPricing: "`source: openrouter`",
    model.Alias: "## Model (alias)",
    model.Metadata: "### Metadata",
    model.Overrides: "`overrides`:",
    model.Architecture: "`architecture`:",
    model.TokenPrices: "`pricing` of `overrides`",
    model.PriceTier: "Each tier;",
    model.TopProvider: "`top_provider`:",
    model.Target: "Each target:",
    model.TargetGroup: "Each group:",
    model.Key: "## Key",
    model.QuotaChecker: "## Account meter",
    model.Timeouts: "## Time-outs",
    model.LaterTimeout: "### timeout (later spelling)",
    model.Failover: "## Fail-over",
    model.CooldownPolicy: "## Cooldowns",
    model.Stall: "## Stalls",
    model.Concurrency: "## Full targets",
    model.Limits: "## Limits",
    model.Egress: "## Egress",
    model.Shutdown: "## Shutdown",
}
"""The line that stands above each Struct's table."""


def _parts(kind: inspect.Type) -> Iterator[inspect.Type]:
    yield kind
    match kind:
        case inspect.UnionType():
            for each in kind.types:
                yield from _parts(each)
        case inspect.DictType():
            yield from _parts(kind.value_type)
        case inspect.VarTupleType():
            yield from _parts(kind.item_type)
        case _:
            pass


def _info(kind: type[Struct]) -> inspect.StructType:
    info = inspect.type_info(kind)
    assert isinstance(info, inspect.StructType)
    return info


def _reachable(kind: type[Struct]) -> set[type[Struct]]:
    """Every Struct a config can consist of."""
    found: set[type[Struct]] = set()
    waiting = [kind]
    while waiting:
        each = waiting.pop()
        if each not in found:
            found.add(each)
            waiting += [
                part.cls
                for field in _info(each).fields
                for part in _parts(field.type)
                if isinstance(part, inspect.StructType)
            ]
    return found


STRUCTS = sorted(_reachable(Config), key=lambda each: each.__name__)


def _table(heading: str) -> dict[str, tuple[str, str, str]]:
    """Key → type, default and meaning, of the first table below a line that begins so."""
    [below] = re.findall(rf"^{re.escape(heading)}.*\n((?s:.)*)", DOCUMENT, re.MULTILINE)
    [table] = re.findall(r"(?:^\|.*\n)+", below, re.MULTILINE)[:1]
    rows = [[cell.strip() for cell in row.strip("|").split("|")] for row in table.splitlines()]
    assert rows[0] == ["Key", "Type", "Default", "Meaning"]
    return {row[0].strip("`"): (row[1], row[2], row[3]) for row in rows[2:]}


def test_every_struct_has_its_place_in_the_document() -> None:
    assert set(STRUCTS) == set(WHERE)


@pytest.mark.parametrize("kind", STRUCTS, ids=lambda each: each.__name__)
def test_the_table_of_a_mapping_has_exactly_its_keys(kind: type[Struct]) -> None:
    assert list(_table(WHERE[kind])) == [field.encode_name for field in _info(kind).fields]


def _shown(value: bool | float | str) -> str:
    """As one writes it in YAML."""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


@pytest.mark.parametrize("kind", STRUCTS, ids=lambda each: each.__name__)
def test_documented_defaults_are_those_of_the_code(kind: type[Struct]) -> None:
    table = _table(WHERE[kind])
    for field in _info(kind).fields:
        written = table[field.encode_name][1]
        if field.required:
            assert written == "required", field.encode_name
        elif field.default == "":
            assert written == "none", field.encode_name
        elif isinstance(field.default, bool | int | float | str):
            assert written == f"`{_shown(field.default)}`", field.encode_name
        elif isinstance(field.type, inspect.AnyType):
            assert written.startswith("none"), field.encode_name
        elif field.default_factory is not NODEFAULT and not isinstance(
            field.type, inspect.StructType
        ):
            empty = field.default_factory is dict or isinstance(field.type, inspect.DictType)
            assert written == ("`{}`" if empty else "`[]`"), field.encode_name
        else:
            assert written not in ("", "required"), field.encode_name


@pytest.mark.parametrize("kind", STRUCTS, ids=lambda each: each.__name__)
def test_documented_choices_are_those_of_the_code(kind: type[Struct]) -> None:
    table = _table(WHERE[kind])
    for field in _info(kind).fields:
        for part in _parts(field.type):
            if isinstance(part, inspect.LiteralType) and "as of" not in table[field.encode_name][0]:
                assert set(re.findall("`([^`]+)`", table[field.encode_name][0])) == set(part.values)


def test_the_api_types_are_listed() -> None:
    [sentence] = re.findall(r"\*\*API types\*\* are (.*?)\.\n", DOCUMENT)
    assert re.findall("`([^`]+)`", sentence) == list(model.ApiType.__args__)


def test_the_documented_example_is_a_good_config() -> None:
    [example] = re.findall(r"^```yaml\n(adminKey(?s:.)*?)^```", DOCUMENT, re.MULTILINE)
    loaded, problems = load(example, {"OPENAI_API_KEY": "a-key"}, loopback=False)
    assert loaded is not None
    assert problems == []


def _keys(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, each in value.items():
            yield str(key)
            yield from _keys(each)
    elif isinstance(value, list):
        for each in value:
            yield from _keys(each)


def test_the_sample_shows_every_key() -> None:
    shown = set(_keys(yaml.safe_load(SAMPLE.read_text())))
    known = {field.encode_name for kind in STRUCTS for field in _info(kind).fields}
    assert known - shown == set()


def test_the_sample_shows_every_kind_of_pricing() -> None:
    loaded, _ = load(SAMPLE.read_text())
    assert loaded is not None
    listed = [each.models for each in loaded.config.providers.values()]
    used = {
        type(found.pricing) for each in listed if isinstance(each, dict) for found in each.values()
    }
    assert used >= set(model.Pricing.__args__)


def test_the_sample_has_no_problem_but_its_secrets() -> None:
    problems = check_file(SAMPLE)
    assert [each.path for each in problems] == ["adminKey", "keys.me.secret", "keys.team.secret"]
    assert {each.severity for each in problems} == {"warning"}


def test_every_secret_of_the_sample_is_known_as_published() -> None:
    """So that a server which others can reach never runs with one."""
    sample = yaml.safe_load(SAMPLE.read_text())
    secrets = [sample["adminKey"], *(each["secret"] for each in sample["keys"].values())]
    assert len(set(secrets)) == len(secrets)
    refused = check_file(SAMPLE, loopback=False)
    assert [each.severity for each in refused] == ["error"] * len(secrets)


def test_the_sample_states_the_true_defaults() -> None:
    sample = yaml.safe_load(SAMPLE.read_text())
    assert sample["limits"] == msgspec.to_builtins(model.Limits())
    assert sample["shutdown"] == msgspec.to_builtins(model.Shutdown())
    loaded, _ = load("adminKey: a\nproviders: {p: {api_base_url: 'demo://'}}\nmodels: {}\nkeys: {}")
    assert loaded is not None
    resolved = loaded.timeouts(loaded.config.providers["p"])
    assert sample["timeouts"] == msgspec.to_builtins(resolved)
