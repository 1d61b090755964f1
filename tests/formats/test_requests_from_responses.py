"""Requests of Responses clients: as Messages and Chat providers get them, and as they are read."""

import base64
import json
from typing import Any

import pytest
from support.strict_chat import problems as chat_problems
from support.strict_messages import problems as messages_problems

from plexus_proxy.errors import BadRequest
from plexus_proxy.formats import envelope
from plexus_proxy.formats.chat.request_writer import write_request as write_chat
from plexus_proxy.formats.conversation import Crossing
from plexus_proxy.formats.events import Opaque
from plexus_proxy.formats.messages.request_writer import write_request as write_messages
from plexus_proxy.formats.responses.call import read_call, splice
from plexus_proxy.formats.responses.request_reader import read_request

CLAUDE = "claude-opus-9"
PNG = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJg"
    "gg=="
)
TOOL = {"type": "function", "name": "f", "parameters": {"type": "object", "properties": {}}}


def crossing(model: str = CLAUDE, **fields: Any) -> Crossing:
    return Crossing(provider="up", model=model, response_id="r", created_s=1, **fields)


def sent(body_input: Any, **fields: Any) -> bytes:
    return json.dumps({"model": "alias", "input": body_input, **fields}).encode()


def to_messages(body_input: Any, *, over: Crossing | None = None, **fields: Any) -> dict[str, Any]:
    over = over or crossing()
    body = json.loads(write_messages(read_request(sent(body_input, **fields)), over))
    signatures = frozenset({"native"})
    assert (
        messages_problems(body, version=over.api_version, newest=True, signatures=signatures) == []
    )
    return body


def to_chat(body_input: Any, *, over: Crossing | None = None, **fields: Any) -> dict[str, Any]:
    body = json.loads(
        write_chat(read_request(sent(body_input, **fields)), over or crossing("llama"))
    )
    assert chat_problems(body) == []
    return body


def refused(body_input: Any, **fields: Any) -> BadRequest:
    with pytest.raises(BadRequest) as caught:
        read_request(sent(body_input, **fields))
    return caught.value


def message(role: str, *parts: dict[str, Any] | str) -> dict[str, Any]:
    kind = "output_text" if role == "assistant" else "input_text"
    content = [{"type": kind, "text": each} if isinstance(each, str) else each for each in parts]
    return {"type": "message", "role": role, "content": content}


def call(call_id: str, arguments: str = "{}") -> dict[str, Any]:
    return {"type": "function_call", "call_id": call_id, "name": "f", "arguments": arguments}


def output(call_id: str, said: Any = "ok") -> dict[str, Any]:
    return {"type": "function_call_output", "call_id": call_id, "output": said}


def test_a_text_is_a_users_turn() -> None:
    assert to_chat("hi") == {"model": "llama", "messages": [{"role": "user", "content": "hi"}]}


def test_instructions_and_leading_items_are_the_system_text_later_ones_stay() -> None:
    body = to_chat(
        [
            message("developer", "two"),
            {"role": "system", "content": "three"},
            message("user", "hi"),
            message("developer", "now X"),
        ],
        instructions="one",
    )
    assert body["messages"] == [
        {"role": "system", "content": "one\n\ntwo\n\nthree"},
        {"role": "user", "content": "hi"},
        {"role": "system", "content": "now X"},
    ]


@pytest.mark.pitfall("P55", "P75")
def test_items_of_the_assistant_fold_into_one_turn() -> None:
    """P55, P75: results beside their calls, in order."""
    conversation = [
        message("user", "q"),
        message("assistant", "both:"),
        call("a", '{"x":9007199254740993}'),
        call("b"),
        output("b", "B"),
        output("a", [{"type": "input_text", "text": "A"}]),
        message("user", "go on"),
    ]
    body = to_messages(conversation, tools=[TOOL])
    assert [each["role"] for each in body["messages"]] == ["user", "assistant", "user"]
    assert [each["type"] for each in body["messages"][1]["content"]] == [
        "text",
        "tool_use",
        "tool_use",
    ]
    assert body["messages"][1]["content"][1]["input"] == {"x": 9007199254740993}
    results = body["messages"][2]["content"]
    assert [each.get("tool_use_id") for each in results] == ["a", "b", None]
    chat = to_chat(conversation, tools=[TOOL])
    assert chat["messages"][1]["tool_calls"][0]["function"]["arguments"] == (
        '{"x":9007199254740993}'
    )
    assert [each["role"] for each in chat["messages"]] == [
        "user",
        "assistant",
        "tool",
        "tool",
        "user",
    ]


@pytest.mark.pitfall("B59")
def test_the_assistants_content_is_a_text_or_a_list() -> None:
    for typed in ({"type": "message"}, {}):
        for content in ("x", [{"type": "output_text", "text": "x", "annotations": []}]):
            said = {**typed, "role": "assistant", "content": content}
            asked = [message("user", "q"), said, message("user", "well?")]
            assert to_chat(asked)["messages"][1] == {"role": "assistant", "content": "x"}
            assert to_messages(asked)["messages"][1] == {"role": "assistant", "content": "x"}


@pytest.mark.pitfall("P102")
def test_p102_a_reasoning_item_never_becomes_an_empty_message() -> None:
    reasoning = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "x"}
    body = to_chat([message("user", "q"), reasoning, message("user", "well?")])
    assert [each["role"] for each in body["messages"]] == ["user"]


def test_reasoning_of_its_issuer_goes_back_natively() -> None:
    state = envelope.pack(Opaque("sig", "native", issuer="up", model=CLAUDE))
    reasoning = {
        "type": "reasoning",
        "id": "rs_1",
        "summary": [
            {"type": "summary_text", "text": "one"},
            {"type": "summary_text", "text": "two"},
        ],
        "encrypted_content": state,
    }
    body = to_messages([message("user", "q"), reasoning, call("a"), output("a")], tools=[TOOL])
    assert body["messages"][1]["content"][0] == {
        "type": "thinking",
        "thinking": "one\n\ntwo",
        "signature": "native",
    }


def test_openais_own_state_means_nothing_to_others() -> None:
    reasoning = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "openai"}
    over = crossing()
    body = to_messages(
        [message("user", "q"), reasoning, call("a"), output("a")], tools=[TOOL], over=over
    )
    assert [each["type"] for each in body["messages"][1]["content"]] == ["tool_use"]
    assert over.dropped == ["input.reasoning"]


def test_images_files_and_audio() -> None:
    url = f"data:image/png;base64,{PNG}"
    pdf = "data:application/pdf;base64,JVBERi0="
    plain = "data:text/plain;base64," + base64.b64encode("grün".encode()).decode()
    body = to_messages(
        [
            message(
                "user",
                "look",
                {"type": "input_image", "image_url": url, "detail": "auto"},
                {"type": "input_image", "image_url": "https://e.com/a.png"},
                {"type": "input_file", "filename": "a.pdf", "file_data": pdf},
                {"type": "input_file", "file_url": "https://e.com/b.pdf"},
                {"type": "input_file", "filename": "c.txt", "file_data": plain},
            )
        ]
    )
    found = body["messages"][0]["content"]
    assert [each["type"] for each in found] == [
        "text",
        "image",
        "image",
        "document",
        "document",
        "document",
    ]
    assert found[1]["source"] == {"type": "base64", "media_type": "image/png", "data": PNG}
    assert found[2]["source"] == {"type": "url", "url": "https://e.com/a.png"}
    assert (found[3]["title"], found[3]["source"]["data"]) == ("a.pdf", "JVBERi0=")
    assert found[4]["source"] == {"type": "url", "url": "https://e.com/b.pdf"}
    assert found[5]["source"]["data"] == "grün"
    audio = {"type": "input_audio", "input_audio": {"data": "QUJD", "format": "wav"}}
    assert to_chat([message("user", audio)])["messages"][0]["content"] == [
        {"type": "input_audio", "input_audio": {"data": "QUJD", "format": "wav"}}
    ]


def test_images_in_results_reach_who_can_take_them() -> None:
    seen = [
        {"type": "input_text", "text": "seen"},
        {"type": "input_image", "image_url": f"data:image/png;base64,{PNG}"},
    ]
    items = [message("user", "q"), call("a"), output("a", seen)]
    result = to_messages(items, tools=[TOOL])["messages"][2]["content"][0]
    assert [each["type"] for each in result["content"]] == ["text", "image"]
    chat = to_chat(items, tools=[TOOL])["messages"]
    assert chat[2]["content"] == "seen\n[image attached below]"
    assert chat[3]["content"][0]["type"] == "image_url"


@pytest.mark.pitfall("P96")
def test_p96_flat_tools_are_wrapped() -> None:
    described = {**TOOL, "description": "d", "strict": None}
    choice = {"type": "function", "name": "f"}
    assert to_chat("hi", tools=[described], tool_choice=choice)["tools"] == [
        {
            "type": "function",
            "function": {"name": "f", "description": "d", "parameters": TOOL["parameters"]},
        }
    ]
    body = to_messages("hi", tools=[described], tool_choice=choice)
    assert body["tools"] == [{"name": "f", "description": "d", "input_schema": TOOL["parameters"]}]
    assert body["tool_choice"] == {"type": "tool", "name": "f"}


@pytest.mark.pitfall("B51")
def test_a_flat_tool_may_have_nothing_but_its_name() -> None:
    tool = {"type": "function", "name": "f"}
    assert to_chat("hi", tools=[tool])["tools"] == [{"type": "function", "function": {"name": "f"}}]
    [declared] = to_messages("hi", tools=[tool])["tools"]
    assert declared == {"name": "f", "input_schema": {"type": "object", "properties": {}}}


def test_custom_tools_are_emulated_where_there_are_none() -> None:
    tool = {"type": "custom", "name": "sh", "description": "shell"}
    items = [
        message("user", "q"),
        {"type": "custom_tool_call", "call_id": "c1", "name": "sh", "input": "ls -l"},
        {"type": "custom_tool_call_output", "call_id": "c1", "output": "files"},
    ]
    over = crossing()
    body = to_messages(items, tools=[tool], over=over)
    assert body["messages"][1]["content"][0]["input"] == {"input": "ls -l"}
    assert body["messages"][2]["content"][0]["content"] in (
        "files",
        [{"type": "text", "text": "files"}],
    )
    assert over.custom_tools == {"sh"}


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("auto", "auto"),
        ("none", "none"),
        ("required", "required"),
        ({"type": "function", "name": "f"}, {"type": "function", "function": {"name": "f"}}),
        (
            {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "f"}]},
            "auto",
        ),
    ],
)
def test_tool_choice(choice: Any, expected: Any) -> None:
    other = {**TOOL, "name": "g"}
    body = to_chat("hi", tools=[TOOL, other], tool_choice=choice)
    assert body["tool_choice"] == expected
    allowed = (
        ["f"] if isinstance(choice, dict) and choice["type"] == "allowed_tools" else ["f", "g"]
    )
    assert [each["function"]["name"] for each in body["tools"]] == allowed


def test_hosted_tools_are_dropped_and_refused_when_nothing_else_is_there() -> None:
    over = crossing("llama")
    body = to_chat("hi", tools=[{"type": "web_search"}, TOOL], over=over)
    assert [each["function"]["name"] for each in body["tools"]] == ["f"]
    assert over.dropped == ["tools"]
    with pytest.raises(BadRequest, match="web_search"):
        to_chat("hi", tools=[{"type": "web_search"}])


def test_structured_output_and_verbosity() -> None:
    schema = {"type": "object", "properties": {}, "additionalProperties": False}
    text = {
        "format": {"type": "json_schema", "name": "n", "schema": schema, "strict": True},
        "verbosity": "low",
    }
    body = to_chat("hi", text=text)
    assert body["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "n", "schema": schema, "strict": True},
    }
    assert body["verbosity"] == "low"
    assert "response_format" not in to_chat("hi", text={"format": {"type": "text"}})


@pytest.mark.parametrize(
    ("reasoning", "thinking"),
    [
        ({"effort": "high", "summary": "auto"}, {"type": "adaptive", "display": "summarized"}),
        ({"effort": "high"}, {"type": "adaptive", "display": "omitted"}),
        ({"effort": "none"}, {"type": "disabled"}),
    ],
)
def test_reasoning_is_shown_to_who_asked_for_summaries(
    reasoning: dict[str, Any], thinking: dict[str, Any]
) -> None:
    over = crossing()
    assert to_messages("hi", reasoning=reasoning, over=over)["thinking"] == thinking


def test_losses_are_named_as_the_client_wrote_them() -> None:
    over = crossing("llama")
    to_chat(
        [
            {
                "type": "message",
                "role": "user",
                "content": [
                    {
                        "type": "input_text",
                        "text": "hi",
                        "prompt_cache_breakpoint": {"mode": "explicit"},
                    }
                ],
            }
        ],
        metadata={"a": "b"},
        truncation="auto",
        top_logprobs=3,
        max_tool_calls=2,
        store=True,
        include=["reasoning.encrypted_content"],
        over=over,
    )
    assert sorted(over.dropped) == [
        "max_tool_calls",
        "metadata",
        "prompt_cache_breakpoint",
        "top_logprobs",
        "truncation",
    ]


def test_hosted_items_of_the_history_are_dropped_and_named() -> None:
    over = crossing("llama")
    search = {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {}}
    body = to_chat([message("user", "q"), search, message("assistant", "found")], over=over)
    assert [each["content"] for each in body["messages"]] == ["q", "found"]
    assert over.dropped == ["input"]


@pytest.mark.parametrize(
    ("body_input", "param"),
    [
        (None, "input"),
        ([], "input"),
        ([{"type": "message", "role": "robot", "content": "x"}], "input[0].role"),
        ([message("user", {"type": "input_text"})], "input[0].content[0].text"),
        ([message("user", {"type": "hologram"})], "input[0].content[0].type"),
        ([message("user", {"type": "input_image"})], "input[0].content[0].image_url"),
        ([{"type": "function_call", "name": "f"}], "input[0].call_id"),
        ([{"type": "item_reference", "id": "x"}], "input[0]"),
        (
            [
                {
                    "type": "message",
                    "role": "system",
                    "content": [{"type": "input_image", "image_url": "https://e"}],
                }
            ],
            "input[0].content",
        ),
    ],
)
def test_bad_input_is_refused_with_its_place(body_input: Any, param: str) -> None:
    assert refused(body_input).param == param


@pytest.mark.parametrize("choice", ["sometimes", {"name": "f"}])
def test_a_bad_tool_choice_is_refused(choice: Any) -> None:
    assert (refused("hi", tools=[TOOL], tool_choice=choice).param or "").startswith("tool_choice")


# On the way to a provider of the same format


def spliced(body: bytes) -> bytes:
    return splice(read_call(body), "up-model", {})


@pytest.mark.pitfall("P130")
def test_p130_only_the_model_changes() -> None:
    body = (
        b'{ "input": [ {"type":"message","role":"user","content":"h\\u00efi"} ],'
        b'"n":1.0,"model":"a","x":{"y":[]} }'
    )
    assert spliced(body) == body.replace(b'"a"', b'"up-model"')


def test_foreign_state_is_taken_out_and_its_own_stays() -> None:
    def reasoning(state: str) -> dict[str, Any]:
        return {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": state}

    foreign = envelope.pack(Opaque("sig", "s", issuer="claude", model="m"))
    items = [message("user", "q"), reasoning("native"), call("a"), reasoning(foreign), call("b")]
    found = json.loads(spliced(sent(items)))
    assert found["input"] == [items[0], items[1], items[2], items[4]]


def test_what_the_corridor_needs_to_know() -> None:
    found = read_call(sent([message("user", "q")], stream=True, tools=[TOOL], prompt_cache_key="s"))
    assert (found.model, found.stream, found.message_count, found.tool_count) == (
        "alias",
        True,
        1,
        1,
    )
    assert found.session == "s"
    assert read_call(sent("hi")).message_count == 1
