"""A Chat or Messages client's request as a Gemini provider gets it."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.strict_gemini import SENTINEL, problems, subset

from plexus_proxy.errors import BadRequest
from plexus_proxy.formats import envelope
from plexus_proxy.formats.chat import request_reader as chat
from plexus_proxy.formats.conversation import (
    Conversation,
    Crossing,
    Reasoning,
    Text,
    ToolCall,
    ToolResult,
    Turn,
)
from plexus_proxy.formats.events import Opaque
from plexus_proxy.formats.gemini.request_writer import write_request
from plexus_proxy.formats.messages import request_reader as messages_format

PRO = "gemini-3-pro-preview"
FLASH = "gemini-3-flash-preview"
BUDGET_PRO = "gemini-2.5-pro"
BUDGET = "gemini-2.5-flash"
LITE = "gemini-2.5-flash-lite"
OLD = "gemini-1.5-flash"
MODELS = (PRO, FLASH, BUDGET_PRO, BUDGET, LITE, "gemini-2.0-flash", OLD)
PNG = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJg"
    "gg=="
)
USER = {"role": "user", "content": "hi"}
TOOL = {
    "type": "function",
    "function": {
        "name": "f",
        "parameters": {"type": "object", "properties": {"a": {"type": "string"}}},
    },
}

TOOL_USE = {"type": "tool_use", "id": "t", "name": "f", "input": {}}


def crossing(model: str = PRO, **fields: Any) -> Crossing:
    return Crossing(provider="google", model=model, response_id="r", created_s=1, **fields)


def written(conversation: Conversation, over: Crossing) -> dict[str, Any]:
    """The provider's body, which the strict validator has found legal."""
    body = json.loads(write_request(conversation, over))
    assert problems(body, model=over.model, signatures=frozenset({"bmF0aXZl", "bW9yZQ=="})) == []
    return body


def translate(
    *messages: dict[str, Any], model: str = PRO, over: Crossing | None = None, **fields: Any
) -> dict[str, Any]:
    """What a Chat client's request becomes."""
    sent = {"model": "alias", "messages": list(messages or (USER,)), **fields}
    return written(chat.read_request(json.dumps(sent).encode()), over or crossing(model))


def from_messages(
    *messages: dict[str, Any], model: str = PRO, over: Crossing | None = None, **fields: Any
) -> dict[str, Any]:
    """What a Messages client's request becomes."""
    sent = {"model": "alias", "max_tokens": 100, "messages": list(messages or (USER,)), **fields}
    read = messages_format.read_request(json.dumps(sent).encode())
    return written(read, over or crossing(model))


def lost(*messages: dict[str, Any], model: str = PRO, **fields: Any) -> list[str]:
    over = crossing(model)
    translate(*messages, over=over, **fields)
    return over.dropped


def refused(*messages: dict[str, Any], model: str = PRO, **fields: Any) -> BadRequest:
    with pytest.raises(BadRequest) as caught:
        translate(*messages, model=model, **fields)
    return caught.value


def call(tool_id: str, arguments: str = "{}", name: str = "f") -> dict[str, Any]:
    return {"id": tool_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def calls(*each: dict[str, Any], content: Any = None, **fields: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": content, "tool_calls": list(each), **fields}


def result(tool_id: str, content: Any = "ok") -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": tool_id, "content": content}


def responses(body: dict[str, Any], index: int = 2) -> list[dict[str, Any]]:
    parts = body["contents"][index]["parts"]
    return [part["functionResponse"] for part in parts if "functionResponse" in part]


def declared(schema: Any, model: str = PRO) -> dict[str, Any]:
    tool = {"type": "function", "function": {"name": "f", "parameters": schema}}
    return translate(tools=[tool], model=model)["tools"][0]["functionDeclarations"][0]


VECTOR = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "mode": {"const": "fast"},
        "limit": {"type": ["integer", "null"], "exclusiveMinimum": 0},
        "default": {"type": "string", "default": "x"},
        "item": {"$ref": "#/$defs/I"},
        "any": {"oneOf": [{"type": "string"}, {"type": "number"}]},
    },
    "required": ["mode", "ghost"],
    "$defs": {"I": {"type": "object", "properties": {}}},
}


@pytest.mark.parametrize("model", MODELS)
def test_vector_18_9_a_schema_is_reduced(model: str) -> None:
    assert declared(VECTOR, model)["parameters"] == {
        "type": "object",
        "properties": {
            "mode": {"type": "string", "enum": ["fast"]},
            "limit": {"type": "integer", "nullable": True, "minimum": 1},
            "default": {"type": "string"},
            "item": {"type": "object"},
            "any": {"anyOf": [{"type": "string"}, {"type": "number"}]},
        },
        "required": ["mode"],
    }


def test_required_names_that_are_none_are_left_out() -> None:
    properties = {"a": {"type": "string"}}
    schema = {"type": "object", "properties": properties, "required": [["a"], 1, "a"]}
    assert declared(schema)["parameters"]["required"] == ["a"]


def test_p76_keywords_that_are_lost_are_named() -> None:
    """Once each, whatever tool they are of; what only annotates is no loss."""
    inner = {"type": "string", "format": "uri", "not": {"const": "x"}, "examples": ["y"]}
    schema = {
        "$schema": "s",
        "type": "object",
        "properties": {"a": inner, "not": {"type": "string", "format": "date-time"}},
        "additionalProperties": False,
        "patternProperties": {"^x": {"type": "string"}},
    }
    functions = [{"name": name, "parameters": schema} for name in ("f", "g")]
    over = crossing(model=OLD)
    translate(over=over, tools=[{"type": "function", "function": each} for each in functions])
    assert over.dropped == [
        f"tools.function.parameters.{name}"
        for name in ("additionalProperties", "patternProperties", "format", "not")
    ]
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    over = crossing(model=OLD)
    translate(over=over, response_format=wanted)
    assert "response_format.json_schema.schema.patternProperties" in over.dropped


def test_a_schema_within_the_vocabulary_passes_as_json_schema() -> None:
    schema = {
        "type": "object",
        "properties": {
            "b": {"type": ["string", "null"], "enum": ["x"], "format": "whatever"},
            "a": {"anyOf": [{"$ref": "#/$defs/I"}, {"type": "null"}]},
        },
        "required": ["b"],
        "additionalProperties": False,
        "$defs": {"I": {"type": "array", "items": {"type": "integer"}}},
    }
    found = declared(schema)
    assert json.dumps(found["parametersJsonSchema"]) == json.dumps(schema)
    assert "parameters" not in found
    assert "parametersJsonSchema" not in declared(schema, OLD)


@pytest.mark.parametrize(
    ("schema", "reduced"),
    [
        (True, {"type": "string"}),
        ({}, {"type": "string"}),
        ({"type": ["string", "number"], "description": "d", "not": {}},
         {"description": "d", "anyOf": [{"type": "string"}, {"type": "number"}]}),
        ({"type": ["object", "null"], "properties": {"x": {"const": None}}},
         {"type": "object", "nullable": True,
          "properties": {"x": {"type": "null"}}}),
        ({"const": 5}, {"type": "integer", "description": "(one of: 5)"}),
        ({"type": "string", "enum": [1, 2, None]},
         {"type": "string", "nullable": True, "enum": ["1", "2"]}),
        ({"type": "number", "enum": [1.5], "description": "Size"},
         {"type": "number", "description": "Size (one of: 1.5)"}),
        ({"enum": ["a", ""]}, {"type": "string"}),
        ({"type": "string", "format": "uri", "minLength": 1, "pattern": "^a",
          "contentEncoding": "x"},
         {"type": "string", "minLength": 1, "pattern": "^a"}),
        ({"type": "string", "format": "date-time", "examples": []},
         {"type": "string", "format": "date-time"}),
        ({"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 2.5, "multipleOf": 2},
         {"type": "number", "minimum": 0, "maximum": 2.5}),
        ({"type": "integer", "minimum": 7, "exclusiveMinimum": 1, "exclusiveMaximum": 9},
         {"type": "integer", "minimum": 7, "maximum": 8}),
        ({"type": "array", "uniqueItems": True}, {"type": "array", "items": {"type": "string"}}),
        ({"prefixItems": [{"type": "string"}, {"type": "integer"}], "uniqueItems": True},
         {"type": "array", "items": {"anyOf": [{"type": "string"}, {"type": "integer"}]}}),
        ({"anyOf": [{"type": "string"}, {"type": "null"}], "default": None},
         {"type": "string", "nullable": True}),
        ({"oneOf": [{"const": "a", "title": "A"}, {"const": "b"}]},
         {"anyOf": [{"type": "string", "title": "A", "enum": ["a"]},
                    {"type": "string", "enum": ["b"]}]}),
        ({"type": "object", "properties": {"a": {"type": "string"}}, "propertyNames": {},
          "anyOf": [{"required": ["a"]}, {"properties": {"b": {"type": "integer"}}}]},
         {"type": "object",
          "properties": {"a": {"type": "string"}, "b": {"type": "integer"}}}),
        ({"allOf": [{"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]},
                    {"properties": {"b": {"type": "string"}}, "required": ["b", "c"]}]},
         {"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "string"}},
          "required": ["a", "b"]}),
        ({"type": "object", "patternProperties": {"^x": {}}, "additionalProperties": {}},
         {"type": "object"}),
        ({"$ref": "#/$defs/nowhere", "description": "d"}, {"type": "object", "description": "d"}),
        ({"$ref": "https://elsewhere/schema"}, {"type": "object"}),
        ({"type": "string", "if": {}, "then": {}, "else": {}}, {"type": "string"}),
    ],
)  # fmt: skip
@pytest.mark.pitfall("P76")
def test_p76_keywords_the_provider_refuses_are_reduced(schema: Any, reduced: Any) -> None:
    found = declared({"type": "object", "properties": {"p": schema}, "$schema": "x"})
    assert found["parameters"]["properties"]["p"] == reduced


KEYWORDS = (
    "default", "title", "format", "const", "$ref", "type", "properties", "required", "enum", "not",
    "items", "anyOf", "nullable", "additionalProperties", "$schema",
)  # fmt: skip


@pytest.mark.parametrize("extra", [{}, {"$schema": "x"}])
@pytest.mark.pitfall("P77")
def test_p77_properties_named_like_keywords_survive(extra: dict[str, Any]) -> None:
    properties = {name: {"type": "string"} for name in KEYWORDS}
    found = declared({"type": "object", "properties": properties, "required": ["default"], **extra})
    schema = found.get("parameters") or found["parametersJsonSchema"]
    assert schema["properties"] == properties
    assert schema["required"] == ["default"]


@pytest.mark.pitfall("P78", "B52")
def test_p78_references_are_inlined_and_circles_end() -> None:
    node = {
        "type": "object",
        "properties": {"value": {"type": "integer"}, "next": {"$ref": "#/definitions/Node"}},
    }
    schema = {
        "type": "object",
        "properties": {"head": {"$ref": "#/definitions/Node", "description": "first"}},
        "definitions": {"Node": node},
    }
    assert declared(schema)["parameters"]["properties"] == {
        "head": {
            "type": "object",
            "description": "first",
            "properties": {"value": {"type": "integer"}, "next": {"type": "object"}},
        }
    }


@pytest.mark.parametrize("model", [PRO, OLD])
@pytest.mark.pitfall("P78")
def test_p78_references_that_multiply_come_to_an_end(model: str) -> None:
    names = [f"N{n}" for n in range(20)]
    definitions = {
        name: {
            "type": "object",
            "properties": {each: {"$ref": f"#/$defs/{each}"} for each in names},
        }
        for name in names
    }
    schema = {"type": "object", "properties": {"a": {"$ref": "#/$defs/N0"}}, "$defs": definitions}
    assert list(subset(declared(schema, model)["parameters"])) == []


def test_a_circle_through_the_root_ends() -> None:
    schema = {"type": "object", "properties": {"child": {"$ref": "#"}}}
    child = declared(schema)["parameters"]["properties"]["child"]
    assert child == {"type": "object", "properties": {"child": {"type": "object"}}}


@pytest.mark.parametrize("schema", [None, {"type": "object"}, {"type": "object", "properties": {}}])
@pytest.mark.parametrize("model", [PRO, OLD])
@pytest.mark.pitfall("B51")
def test_functions_without_arguments_have_no_parameters(schema: Any, model: str) -> None:
    assert declared(schema, model) == {"name": "f"}


def test_a_root_that_is_no_object_becomes_one() -> None:
    schema = {"anyOf": [{"type": "object", "properties": {"a": {"type": "string"}}}]}
    assert declared(schema)["parametersJsonSchema"] == {
        "type": "object",
        "properties": {"a": {"type": "string"}},
    }


@pytest.mark.pitfall("P79", "B39")
def test_p79_responses_are_named_after_their_calls() -> None:
    body = translate(USER, calls(call("a", name="look")), result("a"), tools=[TOOL])
    assert [each["name"] for each in responses(body)] == ["look"]


@pytest.mark.pitfall("P80")
def test_p80_all_results_of_a_step_share_a_content_in_the_order_of_the_calls() -> None:
    body = translate(
        USER,
        calls(call("a"), call("b", name="g"), call("c")),
        result("c", "3"),
        result("a", "1"),
        result("b", "2"),
        {"role": "user", "content": "go on"},
        tools=[TOOL],
    )
    assert [content["role"] for content in body["contents"]] == ["user", "model", "user"]
    told = [(each["id"], each["name"]) for each in responses(body)]
    assert told == [("a", "f"), ("b", "g"), ("c", "f")]
    assert body["contents"][2]["parts"][-1] == {"text": "go on"}


@pytest.mark.pitfall("P80")
def test_p80_a_call_without_a_result_gets_an_error() -> None:
    body = translate(USER, calls(call("a")), USER, tools=[TOOL])
    assert responses(body)[0]["response"] == {"error": "Tool execution was interrupted"}


def test_a_result_without_a_call_becomes_text() -> None:
    body = translate(result("gone", "42"), USER)
    texts = [part["text"] for part in body["contents"][0]["parts"]]
    assert texts == ["[Result of an earlier tool call: gone]", "42", "hi"]


@pytest.mark.parametrize(
    ("content", "response"),
    [
        ("ok", {"output": "ok"}),
        ("", {"output": ""}),
        ("42", {"output": "42"}),
        ('{"temp": 4}', {"temp": 4}),
        ("[1, 2]", {"output": [1, 2]}),
        ("{broken", {"output": "{broken"}),
        ([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], {"output": "a\nb"}),
    ],
)
@pytest.mark.pitfall("P81")
def test_p81_responses_are_objects(content: Any, response: Any) -> None:
    body = translate(USER, calls(call("a")), result("a", content), tools=[TOOL])
    assert responses(body)[0]["response"] == response


@pytest.mark.pitfall("P81")
def test_p81_errors_are_said_to_be_some() -> None:
    body = from_messages(
        USER,
        {"role": "assistant", "content": [TOOL_USE]},
        {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "t", "content": "no", "is_error": True}]},
    )  # fmt: skip
    assert responses(body)[0]["response"] == {"error": "no"}


OWN = Opaque("gsig", "bmF0aXZl", "google", PRO)
MORE = Opaque("gsig", "bW9yZQ==", "google", PRO)


def detail(opaque: Opaque, **fields: Any) -> dict[str, Any]:
    return {"type": "reasoning.encrypted", "data": envelope.pack(opaque), **fields}


def thinking(opaque: Opaque, text: str = "") -> dict[str, Any]:
    return {"type": "thinking", "thinking": text, "signature": envelope.pack(opaque)}


def signatures(body: dict[str, Any]) -> list[Any]:
    """Of every call, in order."""
    return [
        part.get("thoughtSignature")
        for content in body["contents"]
        for part in content["parts"]
        if "functionCall" in part
    ]


@pytest.mark.pitfall("P82", "B43")
def test_p82_a_chat_client_replays_the_signature_of_each_step() -> None:
    body = translate(
        USER,
        calls(call("a"), reasoning_details=[detail(OWN)]),
        result("a"),
        calls(call("b"), reasoning_details=[detail(MORE)]),
        result("b"),
        tools=[TOOL],
    )
    assert signatures(body) == ["bmF0aXZl", "bW9yZQ=="]


@pytest.mark.pitfall("P82", "B43")
def test_p82_a_messages_client_replays_the_signature_of_each_step() -> None:
    def use(tool_id: str) -> dict[str, Any]:
        return {"type": "tool_use", "id": tool_id, "name": "f", "input": {}}

    def told(tool_id: str) -> dict[str, Any]:
        block = {"type": "tool_result", "tool_use_id": tool_id, "content": "ok"}
        return {"role": "user", "content": [block]}

    body = from_messages(
        USER,
        {"role": "assistant", "content": [thinking(OWN, "hm"), use("a")]},
        told("a"),
        {"role": "assistant", "content": [
            {"type": "text", "text": "t"}, thinking(MORE), use("b"), use("c")]},
        told("b"),
        told("c"),
    )  # fmt: skip
    assert signatures(body) == ["bmF0aXZl", "bW9yZQ==", None]
    assert "hm" not in json.dumps(body)


@pytest.mark.pitfall("P82")
def test_p82_a_client_that_echoes_nothing_is_helped_by_memory() -> None:
    known = (Reasoning(text="thought"), Reasoning(text="", opaque=OWN, text_offset=8))
    over = crossing(remembered={"a": known})
    body = translate(
        USER, calls(call("a"), call("b"), content="Checking"), result("a"), result("b"),
        tools=[TOOL], over=over,
    )  # fmt: skip
    assert signatures(body) == ["bmF0aXZl", None]
    assert over.dropped == []


@pytest.mark.parametrize(
    "state",
    [
        None,
        Opaque("sig", "bmF0aXZl", "google", PRO),
        Opaque("gsig", "bmF0aXZl", "elsewhere", PRO),
        Opaque("gsig", "bmF0aXZl", "google", BUDGET),
    ],
)
@pytest.mark.pitfall("P82")
def test_p82_without_own_state_the_sentinel_is_sent(state: Opaque | None) -> None:
    details = [detail(state)] if state else None
    body = translate(
        USER, calls(call("a"), call("b"), reasoning_details=details), result("a"), result("b"),
        calls(call("c")), result("c"), tools=[TOOL],
    )  # fmt: skip
    assert signatures(body) == [SENTINEL, None, SENTINEL]


@pytest.mark.parametrize("model", [BUDGET, "gemini-2.0-flash", OLD])
@pytest.mark.pitfall("P82")
def test_p82_older_models_never_get_the_sentinel(model: str) -> None:
    body = translate(USER, calls(call("a")), result("a"), tools=[TOOL], model=model)
    assert signatures(body) == [None]


@pytest.mark.pitfall("P82")
def test_p82_earlier_turns_need_no_signature() -> None:
    body = translate(
        USER, calls(call("a")), result("a"), {"role": "assistant", "content": "done"}, USER,
        calls(call("b")), result("b"), tools=[TOOL],
    )  # fmt: skip
    assert signatures(body) == [None, SENTINEL]


@pytest.mark.pitfall("P83")
def test_p83_only_the_first_call_of_a_step_is_signed() -> None:
    turn = Turn(
        "assistant",
        (
            ToolCall(id="a", name="f", arguments="{}"),
            Reasoning(text="", opaque=OWN),
            ToolCall(id="b", name="f", arguments="{}"),
            Reasoning(text="", opaque=MORE),
        ),
    )
    conversation = Conversation(model="m", turns=(Turn("user", (Text(text="hi"),)), turn))
    assert signatures(written(conversation, crossing())) == [SENTINEL, None]


@pytest.mark.pitfall("P83")
def test_p83_a_signature_before_text_belongs_to_the_call_of_the_step() -> None:
    body = translate(
        USER, calls(call("a"), content="t", reasoning_details=[detail(OWN)]), result("a"),
        tools=[TOOL],
    )  # fmt: skip
    assert body["contents"][1]["parts"][0] == {"text": "t"}
    assert signatures(body) == ["bmF0aXZl"]


def test_signatures_of_answers_without_calls_stay_on_their_part() -> None:
    said = {"role": "assistant", "content": "abc", "reasoning_details": [detail(OWN)]}
    at_end = said | {"reasoning_details": [detail(OWN, text_offset=3)]}
    body = translate(USER, said, USER, at_end, USER)
    assert body["contents"][1]["parts"] == [{"text": "abc", "thoughtSignature": "bmF0aXZl"}]
    assert body["contents"][3]["parts"] == [
        {"text": "abc"},
        {"text": "", "thoughtSignature": "bmF0aXZl"},
    ]


@pytest.mark.parametrize(("state", "signature"), [
    (OWN, "bmF0aXZl"), (Opaque("enc", "x", "openai", "gpt"), SENTINEL)
])  # fmt: skip
def test_vector_18_7_the_second_turn_of_a_tool_loop(state: Opaque, signature: str) -> None:
    # as a Responses client's items are read
    arguments = '{"city":"Oslo","unit":"c"}'
    conversation = Conversation(
        model="m",
        system=(Text(text="Answer in one short sentence."),),
        turns=(
            Turn("user", (Text(text="What is the weather in Oslo?"),)),
            Turn(
                "assistant",
                (
                    Reasoning(text="The user wants Oslo weather.", opaque=state),
                    ToolCall(id="call_S1", name="get_weather", arguments=arguments),
                ),
            ),
            Turn("user", (ToolResult(call_id="call_S1", parts=(Text(text='{"temp":4}'),)),)),
        ),
    )
    assert written(conversation, crossing()) == {
        "systemInstruction": {"parts": [{"text": "Answer in one short sentence."}]},
        "contents": [
            {"role": "user", "parts": [{"text": "What is the weather in Oslo?"}]},
            {
                "role": "model",
                "parts": [
                    {
                        "functionCall": {
                            "id": "call_S1",
                            "name": "get_weather",
                            "args": {"city": "Oslo", "unit": "c"},
                        },
                        "thoughtSignature": signature,
                    }
                ],
            },
            {
                "role": "user",
                "parts": [
                    {
                        "functionResponse": {
                            "id": "call_S1",
                            "name": "get_weather",
                            "response": {"temp": 4},
                        }
                    }
                ],
            },
        ],
    }
    older = written(conversation, crossing(BUDGET))
    assert "thoughtSignature" not in older["contents"][1]["parts"][0]


@pytest.mark.parametrize("effort", ["none", "minimal", "low", "medium", "high", "xhigh", "max"])
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.pitfall("P84", "B41", "B44")
def test_p84_thinking_is_said_in_one_way_or_not_at_all(model: str, effort: str) -> None:
    config = translate(model=model, reasoning_effort=effort).get("generationConfig", {})
    if model in (OLD, "gemini-2.0-flash"):
        assert "thinkingConfig" not in config
    else:
        assert len(config["thinkingConfig"].keys() & {"thinkingBudget", "thinkingLevel"}) == 1


EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (BUDGET, [0, 512, 1024, 8192, 24576, 24576, 24576]),
        (BUDGET_PRO, [128, 512, 1024, 8192, 24576, 32768, 32768]),
        (LITE, [0, 512, 1024, 8192, 24576, 24576, 24576]),
        (PRO, ["LOW", "LOW", "LOW", "MEDIUM", "HIGH", "HIGH", "HIGH"]),
        (FLASH, ["MINIMAL", "MINIMAL", "LOW", "MEDIUM", "HIGH", "HIGH", "HIGH"]),
        ("gemini-4-flash", ["LOW", "LOW", "LOW", "MEDIUM", "HIGH", "HIGH", "HIGH"]),
        ("google/gemini-flash-latest", ["LOW", "LOW", "LOW", "MEDIUM", "HIGH", "HIGH", "HIGH"]),
    ],
)
@pytest.mark.pitfall("B41")
def test_effort_becomes_a_budget_or_a_level(model: str, said: list[Any]) -> None:
    for effort, expected in zip(EFFORTS, said, strict=True):
        config = translate(model=model, reasoning_effort=effort)["generationConfig"]
        wanted = "thinkingBudget" if isinstance(expected, int) else "thinkingLevel"
        shown = {} if effort == "none" else {"includeThoughts": True}
        assert config == {"thinkingConfig": {wanted: expected, **shown}}


@pytest.mark.parametrize(
    ("model", "budget", "sent"),
    [(BUDGET_PRO, 100_000, 32768), (BUDGET, 1, 1), (LITE, 5, 512), (BUDGET_PRO, 5, 128)],
)
def test_budgets_are_kept_within_the_models_range(model: str, budget: int, sent: int) -> None:
    body = translate(model=model, reasoning={"max_tokens": budget})
    assert body["generationConfig"]["thinkingConfig"]["thinkingBudget"] == sent


@pytest.mark.pitfall("P85")
def test_p85_a_model_that_cannot_stop_thinking_thinks_the_least() -> None:
    over = crossing(BUDGET_PRO)
    body = from_messages(thinking={"type": "disabled"}, over=over)
    assert body["generationConfig"]["thinkingConfig"] == {"thinkingBudget": 128}
    assert over.dropped == ["thinking"]


def test_adaptive_thinking_is_left_to_the_model() -> None:
    adaptive = {"type": "adaptive"}
    config = from_messages(thinking=adaptive, model=BUDGET)["generationConfig"]["thinkingConfig"]
    assert config == {"thinkingBudget": -1, "includeThoughts": True}
    config = from_messages(thinking=adaptive)["generationConfig"]["thinkingConfig"]
    assert config == {"includeThoughts": True}


def test_thoughts_are_hidden_from_clients_that_want_none() -> None:
    over = crossing()
    body = translate(over=over, reasoning={"effort": "low", "exclude": True})
    assert body["generationConfig"]["thinkingConfig"] == {"thinkingLevel": "LOW"}
    assert not over.show_reasoning


@pytest.mark.pitfall("B27")
def test_nothing_is_injected() -> None:
    assert translate().keys() == {"contents"}
    assert translate(stream=True).keys() == {"contents"}


def image(url: str, **fields: Any) -> dict[str, Any]:
    return {
        "role": "user",
        "content": [{"type": "image_url", "image_url": {"url": url, **fields}}],
    }


@pytest.mark.pitfall("B41")
def test_p87_images_are_sent_inline_and_urls_never() -> None:
    body = translate(image(f"data:image/jpg;base64,{PNG}"))
    assert body["contents"][0]["parts"] == [{"inlineData": {"mimeType": "image/png", "data": PNG}}]
    error = refused(image("https://10.0.0.1/a.png"))
    assert (error.status, error.param) == (400, "messages")
    assert "URL" in error.message


def test_image_detail_is_lost() -> None:
    url = f"data:image/png;base64,{PNG}"
    assert lost(image(url, detail="low")) == ["messages.content.image_url.detail"]


def file(**fields: Any) -> dict[str, Any]:
    return {"role": "user", "content": [{"type": "file", "file": fields}]}


def test_documents_and_audio_are_sent_inline() -> None:
    pdf = file(filename="n.pdf", file_data="data:application/pdf;base64,JVBERi0x")
    text = base64.b64encode("grün".encode()).decode()
    audio = {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "mp3"}}
    body = translate(
        pdf,
        file(filename="a.txt", file_data=f"data:text/plain;base64,{text}"),
        {"role": "user", "content": [audio]},
    )
    assert body["contents"][0]["parts"] == [
        {"inlineData": {"mimeType": "application/pdf", "data": "JVBERi0x"}},
        {"text": '<document title="a.txt">\ngrün\n</document>'},
        {"inlineData": {"mimeType": "audio/mp3", "data": "AAAA"}},
    ]


@pytest.mark.parametrize(
    "message",
    [
        file(file_id="file-1"),
        file(filename="x.docx", file_data="data:application/msword;base64,AAAA"),
    ],
)
def test_files_that_cannot_be_carried_are_refused(message: dict[str, Any]) -> None:
    assert refused(message).param == "messages"


def result_with_image() -> list[dict[str, Any]]:
    picture = {"type": "base64", "media_type": "image/png", "data": PNG}
    return [
        USER,
        {"role": "assistant", "content": [TOOL_USE]},
        {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "t", "content": [
                {"type": "text", "text": "seen"}, {"type": "image", "source": picture}]},
            {"type": "text", "text": "go on"},
        ]},
    ]  # fmt: skip


def test_images_in_results_are_parts_of_the_response() -> None:
    blob = {"inlineData": {"mimeType": "image/png", "data": PNG}}
    response = responses(from_messages(*result_with_image()))[0]
    assert (response["response"], response["parts"]) == ({"output": "seen"}, [blob])


def test_images_in_results_follow_the_responses_on_older_models() -> None:
    blob = {"inlineData": {"mimeType": "image/png", "data": PNG}}
    body = from_messages(*result_with_image(), model=BUDGET)
    first, *rest = body["contents"][2]["parts"]
    assert first["functionResponse"] == {
        "name": "f",
        "response": {"output": "seen\n[image attached below]"},
    }
    assert rest == [blob, {"text": "go on"}]


@pytest.mark.pitfall("P88")
def test_p88_empty_system_text_is_left_out() -> None:
    assert "systemInstruction" not in translate({"role": "system", "content": " "}, USER)


@pytest.mark.pitfall("B41")
def test_system_messages_keep_their_place() -> None:
    body = translate(
        {"role": "system", "content": "one"},
        {"role": "developer", "content": "two"},
        USER,
        calls(call("a")),
        {"role": "system", "content": "three"},
        result("a"),
        tools=[TOOL],
    )
    assert body["systemInstruction"]["parts"] == [{"text": "one"}, {"text": "two"}]
    assert body["contents"][2]["parts"][1] == {"text": "<system>three</system>"}


@pytest.mark.pitfall("P88")
def test_p88_nothing_but_system_text_becomes_the_question() -> None:
    body = translate({"role": "system", "content": "do it"})
    assert body == {"contents": [{"role": "user", "parts": [{"text": "do it"}]}]}


@pytest.mark.pitfall("P88")
def test_p88_a_conversation_that_begins_with_the_model_gets_a_first_user_content() -> None:
    body = translate({"role": "assistant", "content": "hello"}, USER)
    assert [content["role"] for content in body["contents"]] == ["user", "model", "user"]


@pytest.mark.pitfall("P88")
def test_p88_a_conversation_without_content_is_refused() -> None:
    refused({"role": "user", "content": " "})


@pytest.mark.parametrize(
    ("arguments", "sent"),
    [
        ("", {}),
        ('{"a": 1}', {"a": 1}),
        ("[1]", {"value": [1]}),
        ('{"a', {"__invalid_json": '{"a'}),
    ],
)
def test_arguments_become_an_object(arguments: str, sent: Any) -> None:
    body = translate(USER, calls(call("a", arguments)), result("a"), tools=[TOOL])
    assert body["contents"][1]["parts"][0]["functionCall"]["args"] == sent


def test_large_integers_survive() -> None:
    sent = calls(call("a", '{"id":9007199254740993,"z":1.10,"a":2}'))
    told = result("a", '{"n":9007199254740993}')
    request = {"model": "m", "messages": [USER, sent, told], "tools": [TOOL]}
    body = write_request(chat.read_request(json.dumps(request).encode()), crossing())
    assert b'"args":{"id":9007199254740993,"z":1.10,"a":2}' in body
    assert b'"response":{"n":9007199254740993}' in body


@pytest.mark.pitfall("P103")
def test_p103_ids_are_kept_and_made_unique() -> None:
    long = "functions.f:" + "x" * 80
    body = translate(
        USER, calls(call(long), call("")), result(long, "1"), result("", "2"),
        calls(call(long)), result(long), tools=[TOOL],
    )  # fmt: skip
    used = [part["functionCall"]["id"] for part in body["contents"][1]["parts"]]
    assert used[0] == long
    assert used[1]
    assert body["contents"][3]["parts"][0]["functionCall"]["id"] not in used


@pytest.mark.pitfall("P91")
def test_p91_calls_of_models_without_ids_are_matched_by_order() -> None:
    body = translate(
        USER, calls(call("a", '{"n":1}'), call("b", '{"n":2}')), result("b", "two"),
        result("a", "one"), tools=[TOOL], model=BUDGET,
    )  # fmt: skip
    assert "id" not in body["contents"][1]["parts"][0]["functionCall"]
    assert [each["response"]["output"] for each in responses(body)] == ["one", "two"]


@pytest.mark.parametrize(
    "name", ["1st", "mcp/server tool", "x" * 200, "ü", "f.g:h-i_j", "_", "Bash"]
)
@pytest.mark.pitfall("P113")
def test_p113_names_are_legal_and_remembered(name: str) -> None:
    tool = {"type": "function", "function": {"name": name}}
    over = crossing()
    body = translate(
        USER, calls(call("a", name=name)), result("a"), over=over, tools=[tool],
        tool_choice={"type": "function", "function": {"name": name}},
    )  # fmt: skip
    wire = body["tools"][0]["functionDeclarations"][0]["name"]
    assert over.tool_names.get(wire, wire) == name
    assert body["contents"][1]["parts"][0]["functionCall"]["name"] == wire
    assert responses(body)[0]["name"] == wire
    config = body["toolConfig"]["functionCallingConfig"]
    assert config == {"mode": "ANY", "allowedFunctionNames": [wire]}


def allowed(mode: str, *names: str) -> dict[str, Any]:
    tools = [{"type": "function", "function": {"name": name}} for name in names]
    return {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": tools}}


@pytest.mark.parametrize(
    ("choice", "sent"),
    [
        ("auto", {"mode": "AUTO"}),
        ("none", {"mode": "NONE"}),
        ("required", {"mode": "ANY"}),
        (allowed("auto", "h", "f"), {"mode": "VALIDATED", "allowedFunctionNames": ["h", "f"]}),
        (allowed("required", "g"), {"mode": "ANY", "allowedFunctionNames": ["g"]}),
    ],
)
@pytest.mark.pitfall("B40", "B41")
def test_tool_choice_is_translated(choice: Any, sent: dict[str, Any]) -> None:
    tools = [{"type": "function", "function": {"name": name}} for name in "fgh"]
    body = translate(tools=tools, tool_choice=choice)
    assert len(body["tools"][0]["functionDeclarations"]) == 3
    assert body["toolConfig"]["functionCallingConfig"] == sent


def test_tool_choice_goes_with_the_tools() -> None:
    body = translate(tools=[], tool_choice="auto", parallel_tool_calls=False)
    assert not body.keys() & {"tools", "toolConfig"}


def test_strict_tools_are_validated() -> None:
    strict = {"type": "function", "function": {**TOOL["function"], "strict": True}}
    body = translate(tools=[strict])
    assert body["toolConfig"]["functionCallingConfig"] == {"mode": "VALIDATED"}
    other = {"type": "function", "function": {"name": "g"}}
    assert lost(tools=[strict, other]) == ["tools.function.strict"]


def test_serial_calls_cannot_be_asked_for() -> None:
    assert lost(tools=[TOOL], parallel_tool_calls=False) == ["parallel_tool_calls"]


def test_an_unknown_forced_tool_is_refused() -> None:
    choice = {"type": "function", "function": {"name": "ghost"}}
    assert refused(tools=[TOOL], tool_choice=choice).param == "tool_choice"


def test_server_tools_of_others_are_dropped_or_refused() -> None:
    over = crossing()
    body = translate(
        over=over,
        tools=[{"type": "web_search"}, TOOL],
        tool_choice=allowed("auto", "f") | {"type": "allowed_tools"},
    )
    assert [each["name"] for each in body["tools"][0]["functionDeclarations"]] == ["f"]
    assert over.dropped == ["tools"]
    assert refused(tools=[{"type": "web_search"}]).param == "tools"


def test_custom_tools_become_functions_of_one_string() -> None:
    custom = {"name": "sql", "description": "d", "format": {"type": "grammar"}}
    used = {"id": "a", "type": "custom", "custom": {"name": "sql", "input": 'x "y"'}}
    over = crossing()
    body = translate(
        USER, calls(used), result("a"), over=over, tools=[{"type": "custom", "custom": custom}]
    )
    found = body["tools"][0]["functionDeclarations"][0]
    assert found["parametersJsonSchema"]["required"] == ["input"]
    assert '{"type": "grammar"}' in found["description"]
    assert body["contents"][1]["parts"][0]["functionCall"]["args"] == {"input": 'x "y"'}
    assert over.custom_tools == {"sql"}
    assert over.dropped == ["tools.custom.format"]


def wanted(schema: Any) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}


SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}}


@pytest.mark.pitfall("B41")
def test_a_schema_for_the_answer_is_enforced() -> None:
    config = translate(response_format=wanted(SCHEMA))["generationConfig"]
    assert config == {"responseMimeType": "application/json", "responseJsonSchema": SCHEMA}
    config = translate(response_format=wanted(SCHEMA), model=OLD)["generationConfig"]
    assert config == {"responseMimeType": "application/json", "responseSchema": SCHEMA}
    config = translate(response_format={"type": "json_object"})["generationConfig"]
    assert config == {"responseMimeType": "application/json"}


def test_models_that_take_either_functions_or_a_schema_are_told_it() -> None:
    over = crossing(BUDGET)
    body = translate(response_format=wanted(SCHEMA), tools=[TOOL], over=over)
    assert "generationConfig" not in body
    assert '{"n": {"type": "integer"}}' in body["systemInstruction"]["parts"][0]["text"]
    assert over.dropped == ["response_format"]
    body = translate(response_format=wanted(SCHEMA), tools=[TOOL])
    assert body["generationConfig"]["responseJsonSchema"] == SCHEMA


def test_sampling_limits_and_tier_are_translated() -> None:
    over = crossing()
    body = translate(
        over=over, temperature=3, top_p=0.5, top_k=4, max_tokens=9, stop="END",
        service_tier="default", seed=1, presence_penalty=0.5, frequency_penalty=0,
    )  # fmt: skip
    assert body["generationConfig"] == {
        "temperature": 2.0,
        "topP": 0.5,
        "topK": 4,
        "maxOutputTokens": 9,
        "stopSequences": ["END"],
        "seed": 1,
        "presencePenalty": 0.5,
        "frequencyPenalty": 0,
    }
    assert body["serviceTier"] == "standard"
    assert over.dropped == []


def test_at_most_five_stops_are_sent() -> None:
    over = crossing()
    sent = translate(over=over, stop=list("abcdef"))["generationConfig"]["stopSequences"]
    assert (sent, over.stops, over.dropped) == (list("abcde"), ("f",), [])


def test_what_the_provider_cannot_hear_is_named() -> None:
    marked = {"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}
    assert lost(
        {"role": "user", "content": [marked], "name": "bob"},
        logit_bias={"1": 2},
        verbosity="low",
        metadata={"a": "b"},
        user="u",
        prompt_cache_key="k",
        service_tier="scale",
    ) == [
        "logit_bias",
        "messages.name",
        "user",
        "metadata",
        "verbosity",
        "prompt_cache_key",
        "prompt_cache_breakpoint",
        "service_tier",
    ]


def test_the_deprecated_function_form_is_remembered() -> None:
    over = crossing()
    translate(over=over, functions=[{"name": "f"}])
    assert over.legacy_functions


def test_equal_requests_give_equal_bytes() -> None:
    sent = json.dumps(
        {
            "model": "m",
            "messages": [USER, calls(call("", name="x y")), result("")],
            "tools": [{"type": "function", "function": {"name": "x y", "parameters": VECTOR}}],
        }
    ).encode()
    assert write_request(chat.read_request(sent), crossing()) == write_request(
        chat.read_request(sent), crossing()
    )


# Any conversation at all becomes one that the API takes.

WORDS = st.sampled_from(["", " ", "hi", "a\nb ", "ü", '{"x":1}'])
IDS = st.sampled_from(["", "a", "b", "call_0", "functions.x:0", "z" * 70])
NAMES = st.sampled_from(["f", "g.h", "1x", "n n", "n" * 140])
PARTS = st.one_of(
    st.builds(lambda text: {"type": "text", "text": text}, WORDS),
    st.just({"type": "image_url", "image_url": {"url": f"data:image/jpeg;base64,{PNG}"}}),
    st.just({"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}),
)
CONTENT = WORDS | st.lists(PARTS, max_size=3)
CALLS = st.builds(call, IDS, st.sampled_from(["", "{}", '{"x":1}', "[", "3"]), NAMES)
DETAILS = st.sampled_from(
    [
        detail(OWN),
        detail(MORE, text_offset=1),
        detail(Opaque("gsig", "Zm9yZWlnbg==", "other", PRO)),
        {"type": "reasoning.summary", "summary": "s"},
    ]
)
MESSAGES = st.one_of(
    st.builds(lambda content: {"role": "system", "content": content}, WORDS),
    st.builds(lambda content: {"role": "user", "content": content}, CONTENT),
    st.builds(
        lambda content, each, details: {
            "role": "assistant",
            "content": content,
            "tool_calls": each or None,
            "reasoning_details": details,
        },
        WORDS | st.none(),
        st.lists(CALLS, max_size=3),
        st.lists(DETAILS, max_size=2),
    ),
    st.builds(result, IDS, CONTENT),
)
NODES = st.recursive(
    st.sampled_from(
        [
            True, {}, {"type": "string"}, {"type": ["integer", "null"]}, {"const": 1},
            {"enum": ["a", None, 2]}, {"$ref": "#/$defs/A"}, {"$ref": "#"}, {"type": "array"},
            {"type": "number", "exclusiveMinimum": 1}, {"type": "object", "properties": 1},
            {"type": "string", "enum": [], "format": "uri"}, {"type": "elsewhere"},
        ]
    ),
    lambda inner: st.one_of(
        st.builds(
            lambda properties, required: {
                "type": "object", "properties": properties, "required": required,
            },
            st.dictionaries(st.sampled_from(["a", "default", "type"]), inner, max_size=2),
            st.lists(st.sampled_from(["a", "ghost"]), max_size=2),
        ),
        st.builds(lambda items: {"type": "array", "items": items}, inner),
        st.builds(
            lambda name, each: {name: each},
            st.sampled_from(["anyOf", "oneOf", "allOf", "prefixItems"]),
            st.lists(inner, max_size=3),
        ),
        st.builds(lambda each: {"type": ["string", "object"], "properties": {"a": each}}, inner),
        st.builds(lambda each: {"type": "object", "additionalProperties": each}, inner),
    ),
    max_leaves=8,
)  # fmt: skip
SCHEMAS = st.builds(
    lambda root, each: {**root, "$defs": {"A": each}} if isinstance(root, dict) else root,
    NODES,
    NODES,
)
FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "reasoning_effort": st.sampled_from(["none", "minimal", "high", "max"]),
        "max_tokens": st.sampled_from([1, 9000]),
        "temperature": st.sampled_from([0, 1, 3]),
        "tools": st.lists(
            st.builds(
                lambda name, schema: {
                    "type": "function",
                    "function": {"name": name, "parameters": schema},
                },
                NAMES,
                SCHEMAS,
            ),
            max_size=3,
        ),
        "tool_choice": st.sampled_from(["auto", "none", "required"]),
        "parallel_tool_calls": st.booleans(),
        "stop": st.lists(WORDS, max_size=7),
        "response_format": st.builds(wanted, SCHEMAS) | st.just({"type": "json_object"}),
    },
)


@settings(max_examples=400, deadline=None)
@given(
    messages=st.lists(MESSAGES, min_size=1, max_size=7),
    fields=FIELDS,
    model=st.sampled_from(MODELS),
)
def test_every_translated_conversation_is_legal(
    messages: list[dict[str, Any]], fields: dict[str, Any], model: str
) -> None:
    refusal = ""
    try:
        translate(*messages, model=model, **fields)
    except BadRequest as error:
        refusal = error.message
    assert refusal in ("", "The conversation has no content.")
