"""Named patches of payloads and answers."""

import json
from typing import Any

import msgspec
import pytest

from plexus_proxy.adapters.registry import adapted, answer_patch
from plexus_proxy.config.model import (
    Adapter,
    FieldCondition,
    ModelOverride,
    ModelRule,
    ModelRules,
    NormalizeToolIds,
    ReasoningCondition,
    ReasoningContent,
    ReasoningRewrite,
    ReasoningRule,
    ReasoningRules,
    Rewrite,
    SuppressDeveloperRole,
    SuppressGpt5Options,
    WebSearchCoercion,
    WebSearchForm,
)

BIG = 123456789012345678901234567890


def patched(payload: dict[str, Any], *uses: Adapter) -> dict[str, Any]:
    return json.loads(adapted(json.dumps(payload).encode(), uses))


def test_reasoning_goes_out_as_reasoning_content() -> None:
    messages = [
        {"role": "user", "content": "q", "reasoning": "stays"},
        {"role": "assistant", "content": "a", "reasoning": "r", "thinking": {"content": "t"}},
        {"role": "assistant", "content": "b", "thinking": {"content": "t", "signature": "s"}},
        {"role": "assistant", "content": "c"},
    ]
    assert patched({"messages": messages}, ReasoningContent())["messages"] == [
        {"role": "user", "content": "q", "reasoning": "stays"},
        {"role": "assistant", "content": "a", "reasoning_content": "r"},
        {"role": "assistant", "content": "b", "reasoning_content": "t"},
        {"role": "assistant", "content": "c"},
    ]


def test_answers_with_reasoning_content_have_reasoning_too() -> None:
    patch = answer_patch([ReasoningContent()])
    assert patch is not None
    frame = b'{"id":"x","choices":[{"delta":{"reasoning_content":"hm"},"index":0}]}'
    assert json.loads(patch(frame)) == {
        "id": "x",
        "choices": [{"delta": {"reasoning_content": "hm", "reasoning": "hm"}, "index": 0}],
    }
    whole = b'{"choices":[{"message":{"reasoning_content":"hm","reasoning":"own"}}]}'
    assert json.loads(patch(whole)) == json.loads(whole)
    for other in (
        b'{"choices":[{"delta":{"content":"x"}}]}',
        b"[DONE]",
        b"",
        b'"reasoning_content"',
    ):
        assert patch(other) is other


def test_developers_become_systems_in_chat_and_responses() -> None:
    said = [{"role": "developer", "content": "d"}, {"role": "user", "content": "u"}]
    expected = [{"role": "system", "content": "d"}, {"role": "user", "content": "u"}]
    for name in ("messages", "input"):
        assert patched({name: said}, SuppressDeveloperRole()) == {name: expected}


GPT5_REFUSES = """
temperature top_p logprobs top_logprobs frequency_penalty presence_penalty logit_bias truncation
max_output_tokens max_completion_tokens safety_identifier
"""


def test_gpt5_options_are_left_out_and_nothing_else() -> None:
    refused = dict.fromkeys(GPT5_REFUSES.split(), 1)
    kept = {"model": "m", "prompt_cache_key": "k", "max_tokens": 5}
    assert patched(refused | kept, SuppressGpt5Options()) == kept


def test_tool_ids_become_legal_and_stay_in_pairs() -> None:
    use = {"type": "tool_use", "id": "call:1.2", "name": "f", "input": {"id": "a:b"}}
    result = {"type": "tool_result", "tool_use_id": "call:1.2", "content": "x"}
    other: dict[str, Any] = {"type": "tool_use", "id": "call:1_2", "name": "f", "input": {}}
    fine: dict[str, Any] = {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}}
    payload: dict[str, Any] = {
        "messages": [
            {"role": "assistant", "content": [use, other, fine]},
            {"role": "user", "content": [result]},
            {"role": "user", "content": "text"},
        ]
    }
    found = patched(payload, NormalizeToolIds())["messages"]
    first, second, third = found[0]["content"]
    assert set(first["id"]) <= set(
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-"
    )
    assert found[1]["content"][0]["tool_use_id"] == first["id"] != second["id"]
    assert (first["input"], third, found[2]) == ({"id": "a:b"}, fine, payload["messages"][2])


OVERRIDE = ModelOverride(
    options=ModelRules(
        rules=(
            ModelRule(
                model="r1",
                rewrite_to="r1-fast",
                conditions=(
                    FieldCondition(field="reasoning.enabled", value=False),
                    FieldCondition(field="reasoning.effort", value="none"),
                ),
            ),
            ModelRule(model="r1", rewrite_to="r1-json", conditions=(FieldCondition(field="fmt"),)),
        )
    )
)


@pytest.mark.parametrize(
    ("payload", "model"),
    [
        ({"reasoning": {"enabled": False}}, "r1-fast"),
        ({"reasoning": {"effort": "none"}, "fmt": 1}, "r1-fast"),
        ({"reasoning": {"enabled": 0}}, "r1"),
        ({"reasoning": "none"}, "r1"),
        ({"fmt": None}, "r1-json"),
        ({}, "r1"),
    ],
)
def test_another_model_by_the_first_rule_that_fits(payload: Any, model: str) -> None:
    assert patched({"model": "r1", **payload}, OVERRIDE)["model"] == model
    assert patched({"model": "r2", **payload}, OVERRIDE)["model"] == "r2"


def rule(source: str, *rewrites: tuple[str, Any], **more: Any) -> ReasoningRewrite:
    made = tuple(Rewrite(target=target, value=value) for target, value in rewrites)
    only = ReasoningRule(source=source, rewrites=made, **more)
    return ReasoningRewrite(options=ReasoningRules(rules=(only,)))


def test_reasoning_in_the_providers_own_words() -> None:
    by_effort = rule(
        "reasoning.effort",
        ("budget", {"from": "map", "values": {"low": 1024, "high": 32768}}),
        ("effort", {"from": "source"}),
    )
    by_switch = rule(
        "reasoning.enabled",
        ("thinking.type", {"from": "boolean", "truthy": "enabled", "falsy": "disabled"}),
        ("a.b.c", 1),
        strip=("reasoning", "none.such"),
    )
    payload = {"reasoning": {"effort": "high", "enabled": False}, "thinking": {"x": BIG}}
    assert patched(payload, by_effort, by_switch) == {
        "thinking": {"x": BIG, "type": "disabled"},
        "budget": 32768,
        "effort": "high",
        "a": {"b": {"c": 1}},
    }
    unknown = {"reasoning": {"effort": "xhigh"}}
    assert patched(unknown, by_effort) == unknown | {"effort": "xhigh"}


@pytest.mark.parametrize(
    ("op", "given", "source", "holds"),
    [
        ("eq", 5, 5, True),
        ("eq", 1, True, False),
        ("neq", "a", "b", True),
        ("neq", "a", "a", False),
        ("gt", 4, 5, True),
        ("gt", 5, 5, False),
        ("gte", 5, 5, True),
        ("lt", 5, 4, True),
        ("lte", 5, 5, True),
        ("lte", 5, "text", False),
        ("in", ["a", "b"], "b", True),
        ("in", ["a", "b"], "c", False),
        ("present", None, None, True),
        ("absent", None, "x", False),
    ],
)
def test_comparisons(op: Any, given: Any, source: Any, holds: bool) -> None:
    values = tuple(given) if op == "in" else ()
    when = ReasoningCondition(op=op, value=given, values=values)
    found = patched({"s": source}, rule("s", ("set", 1), when=when))
    assert ("set" in found) == holds


@pytest.mark.parametrize("op", ["eq", "neq", "gt", "in", "present", "absent"])
def test_a_source_that_is_not_there_is_absent_and_nothing_else(op: Any) -> None:
    when = ReasoningCondition(op=op, value=None, values=(None,))
    assert ("set" in patched({}, rule("s", ("set", 1), when=when))) == (op == "absent")


SEARCHES: list[dict[str, Any]] = [
    {"type": "web_search_20250305", "name": "web_search", "max_uses": 9},
    {"type": "web_search"},
    {"type": "web_search_preview"},
    {"type": "openrouter:web_search"},
    {"type": "googleSearch"},
    {"googleSearch": {}},
]
FUNCTION: dict[str, Any] = {
    "type": "function",
    "function": {"name": "web_search", "parameters": {}},
}


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        (
            WebSearchForm(target="anthropic", max_uses=3),
            {"type": "web_search_20250305", "name": "web_search", "max_uses": 3},
        ),
        (WebSearchForm(target="openai", max_uses=3), {"type": "web_search"}),
        (WebSearchForm(target="openrouter"), {"type": "openrouter:web_search"}),
        (WebSearchForm(target="google"), {"googleSearch": {}}),
    ],
)
def test_web_search_in_the_providers_form(form: WebSearchForm, expected: Any) -> None:
    use = WebSearchCoercion(options=form)
    for tool in SEARCHES:
        assert patched({"tools": [FUNCTION, tool]}, use) == {"tools": [FUNCTION, expected]}


ALL = [
    ReasoningContent(),
    SuppressDeveloperRole(),
    SuppressGpt5Options(),
    NormalizeToolIds(),
    OVERRIDE,
    rule("reasoning", ("x", 1)),
    WebSearchCoercion(options=WebSearchForm(target="openai")),
]


@pytest.mark.parametrize("use", ALL, ids=lambda use: type(use).__name__)
def test_a_payload_with_nothing_to_patch_stays_the_very_same_bytes(use: Adapter) -> None:
    body = b'{ "model":"m", "messages" : [{"role":"user","content":"x"}], "tools":[] , "n": 1e2}'
    assert adapted(body, [use]) is body


@pytest.mark.parametrize("use", ALL, ids=lambda use: type(use).__name__)
@pytest.mark.parametrize(
    "body",
    [b"[]", b"{", b'{"messages":5,"tools":{},"input":"x"}', b'{"messages":[1,null,{"role":7}]}'],
)
def test_what_cannot_be_read_is_left_alone(use: Adapter, body: bytes) -> None:
    assert adapted(body, [use]) is body


def test_values_beside_a_patch_keep_their_bytes() -> None:
    body = b'{"temperature":1,"seed":%d,"x":1.50,"messages":[{"role":"developer","n":2.0}]}' % BIG
    found = adapted(body, [SuppressGpt5Options(), SuppressDeveloperRole()])
    assert found == b'{"seed":%d,"x":1.50,"messages":[{"role":"system","n":2.0}]}' % BIG


def test_a_disabled_adapter_takes_away_what_was_listed_before() -> None:
    payload = {"messages": [{"role": "developer", "content": "x"}]}
    on, off = SuppressDeveloperRole(), SuppressDeveloperRole(enabled=False)
    assert patched(payload, on, off) == payload
    assert patched(payload, off, on) != payload
    assert patched(payload, on, ReasoningContent(enabled=False)) != payload
    assert answer_patch([ReasoningContent(), ReasoningContent(enabled=False)]) is None
    assert answer_patch([on]) is None


def test_the_names_are_those_of_the_predecessor() -> None:
    names = {msgspec.to_builtins(use)["name"] for use in ALL}
    assert names == {
        "reasoning_content",
        "suppress_developer_role",
        "model_override",
        "reasoning_rewrite",
        "web_search_coercion",
        "suppress_unsupported_gpt5_options",
        "normalize_anthropic_tool_ids",
    }
