"""A Gemini client's request as it is understood, and as providers of other formats get it."""

import base64
import json
import re
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import strict_chat, strict_messages

from plexus_proxy.errors import BadRequest
from plexus_proxy.formats import envelope
from plexus_proxy.formats.chat import request_writer as chat
from plexus_proxy.formats.conversation import (
    Audio,
    Conversation,
    Crossing,
    Document,
    Foreign,
    Image,
    Part,
    Reasoning,
    ReasoningControl,
    ResponseFormat,
    ServerTool,
    Text,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from plexus_proxy.formats.events import Opaque
from plexus_proxy.formats.gemini.call import read_call, splice
from plexus_proxy.formats.gemini.request_reader import read_request
from plexus_proxy.formats.messages import request_writer as messages

CLAUDE = "claude-opus-9"
PNG = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJg"
    "gg=="
)
HI = {"role": "user", "parts": [{"text": "hi"}]}
SENTINEL = "skip_thought_signature_validator"
NATIVE = "b3BhcXVl"


def read(*contents: Any, stream: bool = False, **fields: Any) -> Conversation:
    sent = {"contents": list(contents or (HI,)), **fields}
    return read_request(json.dumps(sent).encode(), "alias", stream)


def lost(*contents: Any, **fields: Any) -> list[str]:
    return list(read(*contents, **fields).extra)


def refused(*contents: Any, **fields: Any) -> str | None:
    with pytest.raises(BadRequest) as caught:
        read(*contents, **fields)
    return caught.value.param


def user(*parts: Any) -> dict[str, Any]:
    return {"role": "user", "parts": list(parts)}


def model(*parts: Any) -> dict[str, Any]:
    return {"role": "model", "parts": list(parts)}


def call(name: str = "f", tool_id: str | None = None, **part: Any) -> dict[str, Any]:
    found = {"name": name, "args": {}} | ({} if tool_id is None else {"id": tool_id})
    return {"functionCall": found, **part}


def response(
    said: Any = None, name: str = "f", tool_id: str | None = None, **fields: Any
) -> dict[str, Any]:
    found = {"name": name, "response": {"output": "ok"} if said is None else said, **fields}
    return {"functionResponse": found | ({} if tool_id is None else {"id": tool_id})}


def parts_of(*parts: Any) -> tuple[Part, ...]:
    return read(user(*parts)).turns[0].parts


def crossing(name: str = CLAUDE) -> Crossing:
    return Crossing(provider="p", model=name, response_id="r", created_s=1)


def to_messages(conversation: Conversation, over: Crossing | None = None) -> dict[str, Any]:
    body = json.loads(messages.write_request(conversation, over or crossing()))
    assert strict_messages.problems(body, signatures=frozenset({"native"})) == []
    return body


def to_chat(conversation: Conversation, over: Crossing | None = None) -> dict[str, Any]:
    body = json.loads(chat.write_request(conversation, over or crossing("gpt-4.1")))
    assert strict_chat.problems(body) == []
    return body


EVERYTHING: dict[str, Any] = {
    "systemInstruction": {"parts": [{"text": "Be brief."}]},
    "contents": [
        user(
            {"text": "look"},
            {"inlineData": {"mimeType": "image/png", "data": PNG, "displayName": "p.png"}},
            {"fileData": {"mimeType": "image/png", "fileUri": "https://x/a_b.png"}},
        ),
        model(
            {"text": "hm", "thought": True},
            {
                "functionCall": {"name": "f", "args": {"snake_key": 1, "camelKey": 2}},
                "thoughtSignature": NATIVE,
            },
        ),
        user(
            {
                "functionResponse": {
                    "name": "f",
                    "response": {"snake_key": {"inline_data": 1}},
                    "parts": [{"inlineData": {"mimeType": "image/png", "data": PNG}}],
                    "willContinue": True,
                }
            }
        ),
        model({"executableCode": {"language": "PYTHON", "code": "1"}}),
        user({"text": "go", "videoMetadata": {"fps": 1}, "mediaResolution": {"level": "x"}}),
    ],
    "tools": [
        {
            "functionDeclarations": [
                {
                    "name": "f",
                    "parameters": {
                        "type": "OBJECT",
                        "properties": {
                            "snake_key": {"type": "STRING"},
                            "any_of": {"type": "NUMBER"},
                        },
                    },
                },
                {"name": "g", "parametersJsonSchema": {"type": "object", "x_y": 1}},
            ]
        },
        {"googleSearch": {}},
    ],
    "toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["f"]}},
    "generationConfig": {
        "temperature": 0.5,
        "topP": 0.9,
        "topK": 40.0,
        "candidateCount": 1,
        "maxOutputTokens": 100,
        "stopSequences": ["END"],
        "seed": 7,
        "presencePenalty": 0.5,
        "responseMimeType": "application/json",
        "responseSchema": {"type": "OBJECT", "properties": {"a_b": {"type": "INTEGER"}}},
        "responseModalities": ["TEXT"],
        "thinkingConfig": {"includeThoughts": True, "thinkingLevel": "HIGH"},
    },
    "safetySettings": [{"category": "c", "threshold": "t"}],
    "serviceTier": "flex",
    "labels": {"team_name": "x"},
}  # fmt: skip
USER_DATA = {"args", "response", "parameters", "parametersJsonSchema", "responseSchema", "labels"}


def snake(value: Any) -> Any:
    """The other spelling of every field; user data as it is."""
    if isinstance(value, list):
        return [snake(each) for each in value]
    if not isinstance(value, dict):
        return value
    return {
        re.sub("[A-Z]", lambda match: "_" + match[0].lower(), name): (
            each if name in USER_DATA else snake(each)
        )
        for name, each in value.items()
    }


@pytest.mark.pitfall("P86", "B44")
def test_p86_both_spellings_are_equal() -> None:
    camel, other = json.dumps(EVERYTHING).encode(), json.dumps(snake(EVERYTHING)).encode()
    assert b'"function_call"' in other
    assert read_request(camel, "m", True) == read_request(other, "m", True)
    first, second = read_call(camel, "m", False), read_call(other, "m", False)
    assert (first.tool_count, first.message_count) == (second.tool_count, second.message_count)


@pytest.mark.parametrize("spelled", [EVERYTHING, snake(EVERYTHING)], ids=["camel", "snake"])
@pytest.mark.pitfall("P86")
def test_p86_user_data_is_never_respelled(spelled: dict[str, Any]) -> None:
    read = read_request(json.dumps(spelled).encode(), "m", False)
    used = read.turns[1].parts[1]
    assert isinstance(used, ToolCall)
    assert used.arguments == '{"snake_key":1,"camelKey":2}'
    told = read.turns[2].parts[0]
    assert isinstance(told, ToolResult)
    assert told.parts[0] == Text(text='{"snake_key":{"inline_data":1}}')
    tools = [each for each in read.tools if isinstance(each, Tool)]
    assert json.loads(bytes(tools[0].schema or b""))["properties"].keys() == {"snake_key", "any_of"}
    assert json.loads(bytes(tools[1].schema or b"")) == {"type": "object", "x_y": 1}


@pytest.mark.pitfall("B40")
def test_the_whole_request_is_read() -> None:
    read = read_request(json.dumps(EVERYTHING).encode(), "alias", True)
    assert (read.model, read.stream, read.include_usage) == ("alias", True, True)
    assert read.system == (Text(text="Be brief."),)
    assert [turn.role for turn in read.turns] == ["user", "assistant", "user", "assistant", "user"]
    assert (read.temperature, read.top_p, read.top_k) == (0.5, 0.9, 40)
    assert (read.max_output_tokens, read.stop, read.service_tier) == (100, ("END",), "flex")
    assert (read.seed, read.presence_penalty, read.frequency_penalty) == (7, 0.5, None)
    assert read.tool_choice == ToolChoice("required", ("f",))
    assert read.reasoning == ReasoningControl(effort="high", show=True)
    assert read.response_format == ResponseFormat(
        kind="json_schema",
        schema=msgspec.Raw(b'{"type":"object","properties":{"a_b":{"type":"integer"}}}'),
    )
    assert list(read.extra) == [
        "safetySettings",
        "labels",
        "contents.parts.functionResponse.willContinue",
        "contents.parts.videoMetadata",
        "contents.parts.mediaResolution",
    ]


def test_a_lone_object_stands_for_a_list_of_one() -> None:
    sent = {"contents": {"parts": {"text": "hi"}}, "systemInstruction": {"parts": {"text": "s"}}}
    body = json.dumps(sent).encode()
    read = read_request(body, "m", False)
    assert read.system == (Text(text="s"),)
    assert read.turns[0].parts == (Text(text="hi"),)
    assert read_call(body, "m", False).message_count == 1


@pytest.mark.parametrize(
    ("role", "expected"),
    [(None, "user"), ("user", "user"), ("function", "user"), ("model", "assistant")],
)
def test_roles_are_understood(role: str | None, expected: str) -> None:
    content = {"parts": [{"text": "x"}]} | ({"role": role} if role else {})
    assert read(content).turns[0].role == expected


@pytest.mark.parametrize(
    ("blob", "part"),
    [
        ({"mimeType": "image/jpg", "data": PNG}, Image(media_type="image/png", data=PNG)),
        (
            {"mimeType": "image/webp", "data": "_-8"},
            Image(media_type="image/webp", data="/+8="),
        ),
        ({"mimeType": "audio/mpeg", "data": "AAAA"}, Audio(data="AAAA", format="mp3")),
        ({"mimeType": "audio/x-wav", "data": "AAAA"}, Audio(data="AAAA", format="wav")),
        (
            {"mimeType": "application/pdf", "data": "JVBERi0x", "displayName": "n.pdf"},
            Document(media_type="application/pdf", data="JVBERi0x", title="n.pdf"),
        ),
        ({"mimeType": "text/plain", "data": "Z3LDvG4="}, Document(text="grün")),
        (
            {"mimeType": "application/msword", "data": "AAAA"},
            Document(media_type="application/msword", data="AAAA"),
        ),
    ],
)
def test_inline_data_is_what_its_type_says(blob: dict[str, Any], part: Part) -> None:
    assert parts_of({"inlineData": blob}) == (part,)


OWN_FILE = "https://generativelanguage.googleapis.com/v1beta/files/abc"


@pytest.mark.parametrize(
    ("file", "part"),
    [
        ({"mimeType": "image/png", "fileUri": "https://x/a"}, Image(url="https://x/a")),
        ({"mimeType": "application/pdf", "fileUri": "https://x/a"}, Document(url="https://x/a")),
        ({"mimeType": "image/png", "fileUri": OWN_FILE}, Image(file_id=OWN_FILE)),
        ({"mimeType": "application/pdf", "fileUri": "gs://b/o"}, Document(file_id="gs://b/o")),
        ({"fileUri": OWN_FILE}, Document(file_id=OWN_FILE)),
    ],
)
def test_files_are_urls_or_belong_to_the_vendor(file: dict[str, Any], part: Part) -> None:
    assert parts_of({"fileData": file}) == (part,)


def test_a_vendors_file_is_refused_by_another() -> None:
    with pytest.raises(BadRequest):
        to_messages(read(user({"fileData": {"mimeType": "image/png", "fileUri": OWN_FILE}})))


@pytest.mark.pitfall("P91")
def test_p91_calls_without_ids_get_different_ones_and_are_matched_by_order() -> None:
    conversation = read(
        HI,
        model(call("f"), call("g"), call("f")),
        user(response({"output": "1"}), response({"output": "g"}, "g"), response({"output": "2"})),
    )
    ids = [part.id for part in conversation.turns[1].parts if isinstance(part, ToolCall)]
    assert len(set(ids)) == 3
    results = [part for part in conversation.turns[2].parts if isinstance(part, ToolResult)]
    assert [(each.call_id, each.name) for each in results] == list(
        zip(ids, ["f", "g", "f"], strict=True)
    )
    body = to_messages(conversation)
    assert [each["content"] for each in body["messages"][2]["content"]] == ["1", "g", "2"]


@pytest.mark.pitfall("P91")
def test_p91_minted_ids_stay_the_same_as_the_conversation_grows() -> None:
    step = (model(call()), user(response()))
    short, long = read(HI, *step), read(HI, *step, *step)
    assert long.turns[: len(short.turns)] == short.turns
    ids = [part.id for turn in long.turns for part in turn.parts if isinstance(part, ToolCall)]
    assert len(set(ids)) == 2
    to_messages(long)


def test_responses_find_their_call_by_id_before_name() -> None:
    conversation = read(
        HI,
        model(call("f", "one"), call("f", "two")),
        user(response(tool_id="two"), response(tool_id="unknown")),
    )
    results = [part for part in conversation.turns[2].parts if isinstance(part, ToolResult)]
    assert [each.call_id for each in results] == ["two", "one"]


def test_responses_may_come_in_contents_of_their_own() -> None:
    conversation = read(
        HI,
        model(call("f")),
        model(call("g")),
        {"role": "function", "parts": [response(name="g")]},
        {"role": "function", "parts": [response(name="f")]},
    )
    body = to_messages(conversation)
    assert [message["role"] for message in body["messages"]] == ["user", "assistant", "user"]


def test_a_response_without_a_call_becomes_text() -> None:
    body = to_messages(read(user(response({"output": "42"}, "gone"))))
    texts = [block["text"] for block in body["messages"][0]["content"]]
    assert texts == ["[Result of an earlier tool call: gone]", "42"]


@pytest.mark.parametrize(
    ("said", "text", "is_error"),
    [
        ({"output": "ok"}, "ok", False),
        ({"output": {"temp": 4}}, '{"temp":4}', False),
        ({"output": 9007199254740993}, "9007199254740993", False),
        ({"output": ""}, "", False),
        ({"output": None}, "", False),
        ({"error": "no"}, "no", True),
        ({"error": {"code": 1}}, '{"code":1}', True),
        ({"output": "ok", "more": 1}, '{"output":"ok","more":1}', False),
        ({"result": "ok"}, '{"result":"ok"}', False),
        ({}, "{}", False),
    ],
)
def test_responses_become_text(said: Any, text: str, is_error: bool) -> None:
    part = parts_of(response(said))[0]
    assert isinstance(part, ToolResult)
    assert part.parts == ((Text(text=text),) if text else ())
    assert part.is_error is is_error


def test_media_of_responses_are_parts_of_the_result() -> None:
    blob = {"inlineData": {"mimeType": "image/png", "data": PNG}}
    part = parts_of(response(parts=[blob]))[0]
    assert isinstance(part, ToolResult)
    assert part.parts == (Text(text="ok"), Image(media_type="image/png", data=PNG))


def test_arguments_keep_order_and_large_integers() -> None:
    body = b'{"contents":[{"role":"model","parts":[{"functionCall":{"name":"f","args":'
    body += b'{"z": 9007199254740993, "a": 1.10}}}]}]}'
    part = read_request(body, "m", False).turns[0].parts[0]
    assert isinstance(part, ToolCall)
    assert part.arguments == '{"z":9007199254740993,"a":1.10}'


STATE = Opaque("sig", "native", "p", CLAUDE)
ENVELOPE = envelope.pack_base64(STATE)


def test_an_envelope_in_a_signature_is_opened_for_its_issuer() -> None:
    conversation = read(
        HI,
        model({"text": "h", "thought": True}, {"text": "m", "thought": True},
              call(thoughtSignature=ENVELOPE), call("g")),
        user(response(), response(name="g")),
    )  # fmt: skip
    first = conversation.turns[1].parts[0]
    assert first == Reasoning(text="hm", opaque=STATE)
    body = to_messages(conversation)
    assert body["messages"][1]["content"][0] == {
        "type": "thinking",
        "thinking": "hm",
        "signature": "native",
    }


def test_an_envelope_survives_sdks_that_respell_base64() -> None:
    state = Opaque("sig", "??>>~~ÿ" * 3, "p", CLAUDE)
    packed = base64.b64decode(envelope.pack_base64(state))
    for text in (base64.urlsafe_b64encode(packed), base64.b64encode(packed).rstrip(b"=")):
        part = read(model(call(thoughtSignature=text.decode()))).turns[0].parts[0]
        assert part == Reasoning(text="", opaque=state)


@pytest.mark.parametrize(
    "signature",
    [
        SENTINEL,
        "context_engineering_is_the_way_to_go",
        base64.b64encode(SENTINEL.encode()).decode(),
    ],
)
def test_the_sentinel_is_no_state(signature: str) -> None:
    assert [
        type(part) for part in read(model(call(thoughtSignature=signature))).turns[0].parts
    ] == [ToolCall]


@pytest.mark.pitfall("P63")
def test_p63_native_and_foreign_signatures_never_reach_another_vendor() -> None:
    foreign = envelope.pack_base64(Opaque("sig", "secret", "elsewhere", CLAUDE))
    for signature in (NATIVE, foreign, SENTINEL, ENVELOPE[:-4] + "!!!!"):
        over = crossing()
        conversation = read(HI, model(call(thoughtSignature=signature)), user(response()))
        sent = json.dumps(to_messages(conversation, over)) + json.dumps(to_chat(conversation))
        assert signature not in sent
        assert "secret" not in sent
        known = signature not in (SENTINEL, ENVELOPE[:-4] + "!!!!")
        assert over.dropped == (["contents.parts.thoughtSignature"] if known else [])


@pytest.mark.pitfall("P65")
def test_p65_state_of_a_thought_returns_to_it_from_wherever_it_was_carried() -> None:
    thought, text, end = {"text": "hm", "thought": True}, {"text": "abc"}, {"text": ""}
    signed = {"thoughtSignature": ENVELOPE}
    for parts in (
        [thought | signed, text, call()],
        [thought, end | signed, text, call()],
        [thought, text, call() | signed],
        [thought, text, call(), end | signed],
    ):
        first, *rest = read(model(*parts)).turns[0].parts
        assert first == Reasoning(text="hm", opaque=STATE)
        assert [type(part) for part in rest] == [Text, ToolCall]


@pytest.mark.pitfall("P65")
def test_p65_state_of_a_thought_the_client_has_not_seen_comes_first() -> None:
    conversation = read(
        HI, model({"text": "abc"}, call(thoughtSignature=ENVELOPE)), user(response())
    )
    kinds = [block["type"] for block in to_messages(conversation)["messages"][1]["content"]]
    assert kinds == ["thinking", "text", "tool_use"]


def test_a_signature_of_the_vendors_own_stays_where_it_was() -> None:
    native = Opaque("gsig", NATIVE)
    parts = read(model({"text": "abc"}, {"text": "", "thoughtSignature": NATIVE})).turns[0].parts
    assert parts == (Text(text="abc"), Reasoning(text="", opaque=native))


def test_thoughts_of_the_user_are_lost() -> None:
    assert lost(user({"text": "x", "thought": True}, {"text": "y"})) == ["contents.parts.thought"]


@pytest.mark.parametrize(
    "kind", ["executableCode", "codeExecutionResult", "toolCall", "toolResponse"]
)
def test_traces_of_server_tools_are_foreign(kind: str) -> None:
    conversation = read(HI, model({kind: {"a_b": 1}}, {"text": "done"}), HI)
    part = conversation.turns[1].parts[0]
    assert isinstance(part, Foreign)
    assert (part.format, part.type, bytes(part.json)) == ("gemini", kind, b'{"a_b": 1}')
    over = crossing()
    assert to_messages(conversation, over)["messages"][1]["content"] == "done"
    assert over.dropped == ["contents.parts"]


def test_parts_of_the_future_are_lost() -> None:
    assert lost(user({"hologram": {}}, {"text": "x"})) == ["contents.parts"]


def function(parameters: Any, key: str = "parameters") -> Any:
    declaration = {"name": "f", "description": "d", key: parameters}
    tool = read(tools=[{"functionDeclarations": [declaration]}]).tools[0]
    assert isinstance(tool, Tool)
    assert (tool.name, tool.description) == ("f", "d")
    return None if tool.schema is None else json.loads(bytes(tool.schema))


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"type": "STRING"}, {"type": "string"}),
        ({"type": "STRING", "nullable": True}, {"type": ["string", "null"]}),
        ({"type": "STRING", "nullable": False}, {"type": "string"}),
        ({"type": "STRING", "format": "enum", "enum": ["a"], "nullable": True},
         {"type": ["string", "null"], "enum": ["a", None]}),
        ({"type": "ARRAY", "items": {"type": "INTEGER"}, "minItems": "2"},
         {"type": "array", "items": {"type": "integer"}, "minItems": 2}),
        ({"type": "OBJECT", "propertyOrdering": ["b"], "example": {},
          "properties": {"example": {"type": "NUMBER"}, "type": {"type": "BOOLEAN"}}},
         {"type": "object",
          "properties": {"example": {"type": "number"}, "type": {"type": "boolean"}}}),
        ({"any_of": [{"type": "STRING"}, {"type": "NULL"}], "nullable": True},
         {"anyOf": [{"type": "string"}, {"type": "null"}, {"type": "null"}]}),
        ({"type": "TYPE_UNSPECIFIED", "description": "x"}, {"description": "x"}),
        ({"type": "object", "additionalProperties": {"type": "STRING"}},
         {"type": "object", "additionalProperties": {"type": "string"}}),
        (None, None),
    ],
)  # fmt: skip
def test_the_schema_subset_becomes_json_schema(schema: Any, expected: Any) -> None:
    assert function(schema) == expected


def test_json_schema_passes_as_it_is() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string", "nullable": True}}}
    assert function(schema, "parametersJsonSchema") == schema


def test_server_tools_are_carried_by_their_field() -> None:
    tools = read(
        tools=[
            {"google_search": {"time_range_filter": {}}, "functionDeclarations": [{"name": "f"}]},
            {"codeExecution": {}},
        ]
    ).tools
    servers = [tool for tool in tools if isinstance(tool, ServerTool)]
    assert [(tool.format, tool.type, tool.name) for tool in servers] == [
        ("gemini", "googleSearch", "googleSearch"),
        ("gemini", "codeExecution", "codeExecution"),
    ]
    assert bytes(servers[0].json) == b'{"timeRangeFilter":{}}'
    over = crossing()
    body = to_messages(
        read(tools=[{"codeExecution": {}}, {"functionDeclarations": [{"name": "f"}]}]), over
    )
    assert [tool["name"] for tool in body["tools"]] == ["f"]
    assert over.dropped == ["tools"]
    with pytest.raises(BadRequest):
        to_messages(read(tools=[{"codeExecution": {}}]))


@pytest.mark.parametrize(
    ("config", "choice"),
    [
        ({"mode": "AUTO"}, ToolChoice("auto")),
        ({"mode": "ANY"}, ToolChoice("required")),
        ({"mode": "any", "allowedFunctionNames": ["a", "b"]}, ToolChoice("required", ("a", "b"))),
        ({"mode": "NONE"}, ToolChoice("none")),
        ({"mode": "VALIDATED"}, ToolChoice("auto")),
        ({"mode": "VALIDATED", "allowedFunctionNames": ["a"]}, ToolChoice("auto", ("a",))),
        ({"mode": "MODE_UNSPECIFIED"}, None),
        ({}, None),
    ],
)
@pytest.mark.pitfall("B40")
def test_modes_become_a_tool_choice(config: Any, choice: ToolChoice | None) -> None:
    assert read(toolConfig={"functionCallingConfig": config}).tool_choice == choice


@pytest.mark.parametrize(
    ("config", "control"),
    [
        (None, ReasoningControl(show=False)),
        ({}, ReasoningControl(show=False)),
        ({"includeThoughts": True}, ReasoningControl(show=True)),
        ({"thinkingBudget": 0}, ReasoningControl(budget_tokens=0, enabled=False, show=False)),
        ({"thinkingBudget": -1}, ReasoningControl(adaptive=True, show=False)),
        (
            {"thinkingBudget": 2000, "includeThoughts": True},
            ReasoningControl(budget_tokens=2000, show=True),
        ),
        ({"thinkingLevel": "MINIMAL"}, ReasoningControl(effort="minimal", show=False)),
        ({"thinkingLevel": "xhigh"}, ReasoningControl(effort="xhigh", show=False)),
        ({"thinkingLevel": "THINKING_LEVEL_UNSPECIFIED"}, ReasoningControl(show=False)),
    ],
)
def test_thinking_is_a_budget_or_a_level(config: Any, control: ReasoningControl) -> None:
    assert read(generationConfig={"thinkingConfig": config}).reasoning == control


def test_a_client_that_asks_for_no_thoughts_sees_none() -> None:
    over = crossing()
    assert "thinking" not in to_messages(read(), over)
    assert not over.show_reasoning


@pytest.mark.pitfall("P105")
def test_p105_thinking_reaches_other_providers() -> None:
    config = {"thinkingConfig": {"thinkingBudget": 9000, "includeThoughts": True}}
    conversation = read(generationConfig=config)
    assert to_messages(conversation)["output_config"] == {"effort": "medium"}
    assert to_chat(conversation, crossing("gpt-5.2"))["reasoning_effort"] == "medium"
    off = read(generationConfig={"thinkingConfig": {"thinkingBudget": 0}})
    assert to_messages(off)["thinking"] == {"type": "disabled"}


@pytest.mark.parametrize(
    ("config", "wanted"),
    [
        ({"responseMimeType": "text/plain"}, None),
        ({"responseMimeType": "application/json"}, ResponseFormat(kind="json_object")),
        (
            {"responseMimeType": "application/json", "responseJsonSchema": {"type": "array"}},
            ResponseFormat(kind="json_schema", schema=msgspec.Raw(b'{"type": "array"}')),
        ),
    ],
)
def test_the_format_of_the_answer_is_read(config: Any, wanted: Any) -> None:
    assert read(generationConfig=config).response_format == wanted


def test_what_no_other_format_can_say_is_named() -> None:
    config = {
        "responseMimeType": "text/x.enum",
        "responseLogprobs": False,
        "speechConfig": {},
        "mediaResolution": "MEDIA_RESOLUTION_LOW",
        "thinkingConfig": {"thinkingLevel": "COSMIC"},
    }
    assert lost(
        generationConfig=config,
        toolConfig={"retrievalConfig": {"languageCode": "en"}},
        tools=[{"functionDeclarations": [{"name": "f", "response": {"type": "STRING"}}]}],
        store=True,
        brandNew=1,
    ) == [
        "store",
        "brandNew",
        "generationConfig.mediaResolution",
        "toolConfig.retrievalConfig",
        "tools.functionDeclarations.response",
        "generationConfig.responseMimeType",
        "generationConfig.thinkingConfig.thinkingLevel",
    ]


@pytest.mark.parametrize(
    ("tier", "read_as"),
    [("flex", "flex"), ("standard", "default"), ("SERVICE_TIER_PRIORITY", "priority"), ("", None)],
)
def test_tiers_are_read(tier: str, read_as: str | None) -> None:
    assert read(serviceTier=tier).service_tier == read_as


def test_seed_and_penalties_reach_the_providers_that_take_them() -> None:
    config = {"seed": 0, "presencePenalty": 0.5, "frequencyPenalty": -1}
    conversation = read(generationConfig=config)
    body = to_chat(conversation)
    assert (body["seed"], body["presence_penalty"], body["frequency_penalty"]) == (0, 0.5, -1)
    over = crossing("gpt-5.2")
    assert not to_chat(conversation, over).keys() & {"presence_penalty", "frequency_penalty"}
    names = ["generationConfig.presencePenalty", "generationConfig.frequencyPenalty"]
    assert over.dropped == names
    over = crossing()
    to_messages(conversation, over)
    assert over.dropped == ["generationConfig.seed", *names]


VIDEO = {"mimeType": "video/mp4", "data": "AAAA"}


@pytest.mark.parametrize(
    ("contents", "fields", "param"),
    [
        ([], {}, "contents"),
        ([{"role": "system", "parts": []}], {}, "contents[0].role"),
        ([user({"text": 5})], {}, "contents[0].parts[0].text"),
        ([user({"inline_data": {"mime_type": "image/png"}})], {},
         "contents[0].parts[0].inlineData.data"),
        ([user({"inlineData": VIDEO})], {}, "contents[0].parts[0].inlineData"),
        ([HI, model(call() | {"functionCall": {"name": "f", "args": "{}"}})], {},
         "contents[1].parts[0].functionCall.args"),
        ([user(call())], {}, "contents[0].parts[0].functionCall"),
        ([model(response())], {}, "contents[0].parts[0].functionResponse"),
        ([user(response("text"))], {}, "contents[0].parts[0].functionResponse.response"),
        ([user({"fileData": {"fileUri": "https://youtu.be/x"}})], {},
         "contents[0].parts[0].fileData"),
        ([user({"inlineData": {"mimeType": "text/plain", "data": "/w=="}})], {},
         "contents[0].parts[0].inlineData.data"),
        ([HI], {"systemInstruction": {"parts": [{"inlineData": VIDEO}]}},
         "systemInstruction.parts[0]"),
        ([HI], {"cachedContent": "cachedContents/1"}, "cachedContent"),
        ([HI], {"generationConfig": {"candidateCount": 2}}, "generationConfig.candidateCount"),
        ([HI], {"generation_config": {"max_output_tokens": "x"}},
         "generationConfig.maxOutputTokens"),
        ([HI], {"generationConfig": {"responseModalities": ["TEXT", "IMAGE"]}},
         "generationConfig.responseModalities"),
        ([HI], {"toolConfig": {"functionCallingConfig": {"mode": "SOME"}}},
         "toolConfig.functionCallingConfig.mode"),
        ([HI], {"tools": [{"functionDeclarations": [{}]}]},
         "tools[0].functionDeclarations[0].name"),
    ],
)  # fmt: skip
def test_wrong_values_are_refused_by_path(contents: Any, fields: Any, param: str) -> None:
    with pytest.raises(BadRequest) as caught:
        read_request(json.dumps({"contents": contents, **fields}).encode(), "m", False)
    assert caught.value.param == param


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"{", "The request body is not valid JSON: Input data was truncated."),
        (b"[]", "The request body must be a JSON object, got array."),
        (b"{}", "Missing required field 'contents'."),
        (b'{"contents":5}', "Invalid type for 'contents': expected "),
    ],
)
def test_bodies_that_are_none_are_refused(body: bytes, message: str) -> None:
    for peek in (read_call, read_request):
        with pytest.raises(BadRequest) as caught:
            peek(body, "m", False)
        assert caught.value.message.startswith(message)


def test_half_an_emoji_does_not_spoil_a_request() -> None:
    body = b'{"contents":[{"parts":[{"text":"a\\ud83d"}]}]}'
    assert read_request(body, "m", False).turns[0].parts == (Text(text="a\ufffd"),)


def test_a_body_is_peeked_at() -> None:
    body = json.dumps(EVERYTHING | {"cachedContent": "cachedContents/1"}).encode()
    call = read_call(body, "alias", True)
    assert (call.model, call.stream, call.body) == ("alias", True, body)
    assert (call.message_count, call.tool_count, call.session) == (5, 3, "cachedContents/1")


@pytest.mark.pitfall("P130")
def test_p130_a_body_goes_on_byte_for_byte() -> None:
    body = b' {"contents" : [ ], "x":{"b":1, "a":1.50}, "i":9007199254740993}\n'
    assert splice(read_call(body, "alias", False), "gemini-3-pro", {}) == body


def test_configured_fields_are_set_in_place_of_either_spelling() -> None:
    body = b'{"contents":[],"generation_config":{"seed":1},"x":{"b":1, "a":1.50}}'
    sent = splice(read_call(body, "a", False), "gemini-3-pro", {"generationConfig": {"topK": 1}})
    assert sent == b'{"contents":[],"x":{"b":1, "a":1.50},"generationConfig":{"topK":1}}'


@pytest.mark.parametrize("name", ["thoughtSignature", "thought_signature"])
@pytest.mark.parametrize(
    ("provider_model", "expected"), [("gemini-3-pro", SENTINEL), ("gemini-2.5-flash", None)]
)
def test_envelopes_never_reach_a_provider(
    name: str, provider_model: str, expected: str | None
) -> None:
    parts = [
        {"text": "t", name: ENVELOPE},
        call() | {name: ENVELOPE},
        call() | {name: NATIVE},
    ]
    body = json.dumps({"contents": [HI, model(*parts)], "seed_x": 1.5}).encode()
    sent = json.loads(splice(read_call(body, "a", False), provider_model, {}))
    assert sent["contents"][1]["parts"] == [
        {"text": "t"},
        call() | ({name: expected} if expected else {}),
        call() | {name: NATIVE},
    ]
    assert sent["contents"][0] == HI


def test_envelopes_in_lone_objects_never_reach_a_provider() -> None:
    part = call() | {"thoughtSignature": ENVELOPE}
    body = json.dumps({"contents": {"role": "model", "parts": part}}).encode()
    sent = json.loads(splice(read_call(body, "a", False), "gemini-2.5-pro", {}))
    assert sent == {"contents": {"role": "model", "parts": call()}}


def test_an_envelope_quoted_in_text_is_left_alone() -> None:
    body = json.dumps({"contents": [user({"text": ENVELOPE})]}).encode()
    assert json.loads(splice(read_call(body, "a", False), "gemini-3-pro", {})) == json.loads(body)


# Any conversation at all becomes one that the other APIs take.

NAMES = st.sampled_from(["f", "g.h", ""])
IDS = st.sampled_from([None, "a", "b", "x.y:0", "z" * 70])
SIGNATURES = st.sampled_from([{}, {"thoughtSignature": ENVELOPE}, {"thoughtSignature": NATIVE}])
WORDS = st.sampled_from(["", " ", "hi", "ü\n"])
USER_PARTS = st.one_of(
    st.builds(lambda text: {"text": text}, WORDS),
    st.just({"inline_data": {"mime_type": "image/png", "data": PNG}}),
    st.builds(response, st.sampled_from([None, {}, {"error": "e"}, {"output": [1]}]), NAMES, IDS),
)
MODEL_PARTS = st.one_of(
    st.builds(lambda text, more: {"text": text, **more}, WORDS, SIGNATURES),
    st.builds(lambda text, more: {"text": text, "thought": True, **more}, WORDS, SIGNATURES),
    st.builds(
        lambda name, tool_id, more: call(name or "f", tool_id, **more), NAMES, IDS, SIGNATURES
    ),
    st.just({"executableCode": {}}),
    st.just({"inlineData": {"mimeType": "image/png", "data": PNG}}),
)
CONTENTS = st.one_of(
    st.lists(USER_PARTS, max_size=3).map(lambda parts: user(*parts)),
    st.lists(MODEL_PARTS, max_size=3).map(lambda parts: model(*parts)),
)
FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "systemInstruction": st.just({"parts": [{"text": "s"}, {"text": " "}]}),
        "tools": st.just([{"functionDeclarations": [{"name": "f"}, {"name": "g.h"}]}]),
        "toolConfig": st.builds(
            lambda mode: {"functionCallingConfig": {"mode": mode}},
            st.sampled_from(["AUTO", "ANY", "NONE", "VALIDATED"]),
        ),
        "generationConfig": st.sampled_from(
            [
                {"thinkingConfig": {"thinkingBudget": -1}, "maxOutputTokens": 5000},
                {"thinking_config": {"thinking_level": "LOW", "include_thoughts": True}},
                {"responseMimeType": "application/json", "temperature": 2},
            ]
        ),
    },
)


@settings(max_examples=300, deadline=None)
@given(contents=st.lists(CONTENTS, min_size=1, max_size=6), fields=FIELDS)
def test_every_conversation_is_legal_elsewhere(
    contents: list[dict[str, Any]], fields: dict[str, Any]
) -> None:
    conversation = read(*contents, **fields)
    for translate in (to_messages, to_chat):
        refusal = ""
        try:
            translate(conversation)
        except BadRequest as error:
            refusal = error.message
        allowed = ("The conversation has no content", "This model does not continue")
        assert not refusal or refusal.startswith(allowed)
