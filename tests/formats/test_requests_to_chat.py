"""A Messages client's request as a Chat Completions provider gets it."""

import hashlib
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.strict_chat import problems

from plexus_proxy.errors import BadRequest
from plexus_proxy.formats import envelope
from plexus_proxy.formats.chat.request_writer import write_request
from plexus_proxy.formats.conversation import Crossing, Reasoning
from plexus_proxy.formats.events import Opaque
from plexus_proxy.formats.messages.request_reader import read_request

PLAIN = "llama-3.3-70b"
THINKING = "gpt-5.1"
WANTS_REASONING = "deepseek-reasoner"
PNG = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJg"
    "gg=="
)
LEFT_OUT = object()
USER = {"role": "user", "content": "hi"}
TOOL = {"name": "f", "input_schema": {"type": "object", "properties": {}}}
CALLED = {"name": "f", "arguments": "{}"}
MARKER = {"type": "ephemeral"}
PDF = {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="}
OBJECT_SCHEMA = {
    "type": "object",
    "properties": {"a": {"type": "string"}},
    "required": ["a"],
    "additionalProperties": False,
}


def crossing(model: str = PLAIN, **fields: Any) -> Crossing:
    return Crossing(provider="up", model=model, response_id="r", created_s=1, **fields)


def translate(
    *messages: dict[str, Any], model: str = PLAIN, over: Crossing | None = None, **fields: Any
) -> dict[str, Any]:
    """The provider's body, which the strict validator has found legal."""
    return json.loads(translate_to_bytes(*messages, over=over or crossing(model), **fields))


def translate_to_bytes(
    *messages: dict[str, Any], over: Crossing | None = None, **fields: Any
) -> bytes:
    sent = {"model": "alias", "max_tokens": 100, "messages": list(messages or (USER,)), **fields}
    given = {name: value for name, value in sent.items() if value is not LEFT_OUT}
    data = write_request(read_request(json.dumps(given).encode()), over or crossing())
    assert b"gw1." not in data  # our envelopes are nobody's but the client's
    body = json.loads(data)
    for message in body["messages"]:
        for extension in ("reasoning_content", "reasoning_details"):
            if message["role"] == "assistant":  # only to those who want or issued it: see below
                message.pop(extension, None)
    assert problems(body) == []
    return data


def lost(*messages: dict[str, Any], model: str = PLAIN, **fields: Any) -> list[str]:
    over = crossing(model)
    translate(*messages, over=over, **fields)
    return over.dropped


def refused(*messages: dict[str, Any], **fields: Any) -> BadRequest:
    with pytest.raises(BadRequest) as caught:
        translate(*messages, **fields)
    return caught.value


def use(tool_id: str, name: str = "f", **arguments: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": tool_id, "name": name, "input": arguments}


def result(tool_id: str, content: Any = "ok", **fields: Any) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": tool_id, "content": content, **fields}


def assistant(*blocks: dict[str, Any]) -> dict[str, Any]:
    return {"role": "assistant", "content": list(blocks)}


def user(*blocks: dict[str, Any]) -> dict[str, Any]:
    return {"role": "user", "content": list(blocks)}


def text(words: str, **fields: Any) -> dict[str, Any]:
    return {"type": "text", "text": words, **fields}


def image(**source: Any) -> dict[str, Any]:
    return {"type": "image", "source": source}


@pytest.mark.pitfall("B27", "B59")
def test_a_short_request_says_what_it_said_and_nothing_else() -> None:
    assert translate() == {
        "model": PLAIN,
        "messages": [{"role": "user", "content": "hi"}],
        "max_tokens": 100,
    }


def test_system_text_and_blocks_become_one_first_message() -> None:
    assert translate(system="be brief")["messages"][0] == {"role": "system", "content": "be brief"}
    body = translate(system=[text("one"), text("  "), text("two")])
    assert body["messages"] == [
        {"role": "system", "content": "one\n\ntwo"},
        {"role": "user", "content": "hi"},
    ]


@pytest.mark.pitfall("B59")
def test_the_assistants_content_is_a_text_or_a_list() -> None:
    said = [
        translate(USER, {"role": "assistant", "content": content}, USER)["messages"][1]
        for content in ("x", [text("x")])
    ]
    assert said == [{"role": "assistant", "content": "x"}] * 2


@pytest.mark.pitfall("P72")
def test_p72_a_system_message_in_mid_conversation_keeps_its_place() -> None:
    """P72: text of the system after the beginning is kept, and in order."""
    body = translate(
        USER, {"role": "assistant", "content": "yes"}, {"role": "system", "content": "now X"}, USER
    )
    assert [(each["role"], each["content"]) for each in body["messages"]] == [
        ("user", "hi"),
        ("assistant", "yes"),
        ("system", "now X"),
        ("user", "hi"),
    ]


@pytest.mark.pitfall("P112", "B60")
def test_p112_the_billing_line_that_changes_each_time_stays_behind() -> None:
    """P112: two requests that differ in it alone give the same bytes."""
    over = crossing()
    first, second = (
        translate_to_bytes(
            system=[text(f"x-anthropic-billing-header: cch={mark};"), text("be brief")], over=over
        )
        for mark in ("a1", "b2")
    )
    assert first == second
    assert json.loads(first)["messages"][0] == {"role": "system", "content": "be brief"}
    assert over.dropped == ["system.x-anthropic-billing-header"]


@pytest.mark.pitfall("P112")
def test_p112_only_the_line_itself_stays_behind() -> None:
    """P112: words that share the billing line's block, and a line like it elsewhere, are kept."""
    line = "x-anthropic-billing-header: cc_version=2;"
    body = translate(system=[text(f"{line}\nbe brief"), text(line)])
    assert body["messages"][0]["content"] == f"be brief\n\n{line}"


@pytest.mark.pitfall("P112")
def test_p112_equal_requests_give_equal_bytes() -> None:
    """P112: nothing random or timed, mapped names and ids included."""
    messages = (USER, assistant(use("x" * 80, "n" * 80)), user(result("x" * 80)))
    tools = [{"name": "n" * 80, "input_schema": {"type": "object"}}]
    first, second = (translate_to_bytes(*messages, tools=tools, stream=True) for _ in range(2))
    assert first == second


@pytest.mark.pitfall("P106")
def test_p106_the_system_speaks_as_system_to_reasoning_models_too() -> None:
    """P106: many servers do not know the role `developer`, none refuses `system`."""
    body = translate(
        USER,
        assistant(text("yes")),
        {"role": "system", "content": "now"},
        USER,
        system="s",
        model=THINKING,
    )
    assert [each["role"] for each in body["messages"]] == [
        "system", "user", "assistant", "system", "user",
    ]  # fmt: skip


def test_a_system_message_between_call_and_result_comes_after_the_result() -> None:
    body = translate(
        USER,
        assistant(use("a")),
        {"role": "system", "content": "now"},
        user(result("a"), text("go on")),
    )
    assert body["messages"][2:] == [
        {"role": "tool", "tool_call_id": "a", "content": "ok"},
        {"role": "system", "content": "now"},
        {"role": "user", "content": "go on"},
    ]


@pytest.mark.pitfall("P55")
def test_p55_results_come_first_one_message_each_then_the_users_words() -> None:
    """P55, in this direction: the calls' order, nothing between them and the user's words."""
    body = translate(
        USER,
        assistant(use("a", x=1), use("b"), use("c")),
        user(text("go on"), result("b", "B"), result("a", "A"), result("c", "C")),
    )
    assert body["messages"][2:] == [
        {"role": "tool", "tool_call_id": "a", "content": "A"},
        {"role": "tool", "tool_call_id": "b", "content": "B"},
        {"role": "tool", "tool_call_id": "c", "content": "C"},
        {"role": "user", "content": "go on"},
    ]
    assert body["messages"][1] == {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {"id": tool_id, "type": "function", "function": {"name": "f", "arguments": arguments}}
            for tool_id, arguments in (("a", '{"x":1}'), ("b", "{}"), ("c", "{}"))
        ],
    }


@pytest.mark.pitfall("P56")
def test_p56_a_call_without_result_gets_one_and_a_result_without_call_becomes_text() -> None:
    """P56: nothing is said to be lost that the client did not send."""
    over = crossing()
    body = translate(
        USER,
        assistant(text("let me see"), use("a"), use("b")),
        user(result("b", "B"), result("gone", "old")),
        over=over,
    )
    assert over.dropped == []
    call, first, second, words = body["messages"][1:]
    assert call["content"] == "let me see"
    assert first == {
        "role": "tool",
        "tool_call_id": "a",
        "content": "Tool execution was interrupted",
    }
    assert second == {"role": "tool", "tool_call_id": "b", "content": "B"}
    assert [part["text"] for part in words["content"]] == [
        "[Result of an earlier tool call: gone]",
        "old",
    ]


@pytest.mark.pitfall("P56")
def test_p56_an_unknown_block_in_a_result_without_call_is_lost_alone() -> None:
    """P56: the rest of the result is told as text."""
    over = crossing()
    old = result("gone", [{"type": "later_kind"}, text("", cache_control=MARKER), text("old")])
    body = translate(user(old, text("go on")), over=over)
    assert body["messages"][0]["content"] == [
        text("[Result of an earlier tool call: gone]"), text("old"), text("go on"),
    ]  # fmt: skip
    assert over.dropped == ["messages.content", "cache_control"]


@pytest.mark.pitfall("P75")
def test_p75_each_result_keeps_the_id_of_its_call() -> None:
    """P75: the link from a result to its call survives."""
    body = translate(USER, assistant(use("toolu_01ABC")), user(result("toolu_01ABC")))
    assert body["messages"][1]["tool_calls"][0]["id"] == "toolu_01ABC"
    assert body["messages"][2]["tool_call_id"] == "toolu_01ABC"


@pytest.mark.pitfall("P103")
def test_p103_long_ids_are_shortened_alike_in_call_and_result() -> None:
    """P103: at most 64 characters, the pair intact, two long ids kept apart."""
    long = "toolu_" + "x" * 100
    again = "toolu_" + "x" * 99 + "y"
    body = translate(
        USER, assistant(use(long), use(again)), user(result(again, "2"), result(long, "1"))
    )
    ids = [call["id"] for call in body["messages"][1]["tool_calls"]]
    assert ids == [
        f"{each[:55]}_{hashlib.sha256(each.encode()).hexdigest()[:8]}" for each in (long, again)
    ]
    assert [(each["tool_call_id"], each["content"]) for each in body["messages"][2:]] == [
        (ids[0], "1"),
        (ids[1], "2"),
    ]


def test_ids_that_a_client_used_twice_are_told_apart() -> None:
    body = translate(
        USER,
        assistant(use("a")),
        user(result("a", "first")),
        assistant(use("a")),
        user(result("a", "second")),
    )
    found = body["messages"]
    assert found[1]["tool_calls"][0]["id"] == found[2]["tool_call_id"] == "a"
    assert found[3]["tool_calls"][0]["id"] == found[4]["tool_call_id"] != "a"
    assert (found[2]["content"], found[4]["content"]) == ("first", "second")


@pytest.mark.pitfall("P103")
def test_p103_long_ids_that_a_client_used_twice_stay_short() -> None:
    """P103: what tells them apart counts among the 64 characters."""
    long = "toolu_" + "x" * 100
    turns = [each for _ in range(2) for each in (assistant(use(long)), user(result(long)))]
    found = translate(USER, *turns)["messages"]
    first, second = found[1]["tool_calls"][0]["id"], found[3]["tool_calls"][0]["id"]
    assert (len(first), len(second)) == (64, 64)
    assert first != second
    assert (found[2]["tool_call_id"], found[4]["tool_call_id"]) == (first, second)


@pytest.mark.pitfall("P74", "P114")
def test_p74_p114_images_of_results_follow_in_one_user_message() -> None:
    """P74, P114: `tool` messages hold text only."""
    body = translate(
        USER,
        assistant(use("a"), use("b"), use("c")),
        user(
            result("a", "plain"),
            result("b", [text("seen"), image(type="base64", media_type="image/png", data=PNG)]),
            result("c", [image(type="url", url="https://example.com/c.png")], is_error=True),
            text("go on"),
        ),
    )
    assert body["messages"][2:] == [
        {"role": "tool", "tool_call_id": "a", "content": "plain"},
        {"role": "tool", "tool_call_id": "b", "content": "seen\n[image attached below]"},
        {"role": "tool", "tool_call_id": "c", "content": "[image attached below]"},
        {
            "role": "user",
            "content": [
                {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}},
                {"type": "image_url", "image_url": {"url": "https://example.com/c.png"}},
                {"type": "text", "text": "go on"},
            ],
        },
    ]


@pytest.mark.parametrize(
    ("content", "fields", "said"),
    [
        ("", {}, ""),
        (None, {}, ""),
        ([], {}, ""),
        ("", {"is_error": True}, "Error: the tool gave no output."),
        ("boom", {"is_error": True}, "boom"),
        ([text("a"), text("b")], {}, "a\nb"),
    ],
)
def test_what_a_result_says(content: Any, fields: dict[str, Any], said: str) -> None:
    over = crossing()
    body = translate(USER, assistant(use("a")), user(result("a", content, **fields)), over=over)
    assert body["messages"][2] == {"role": "tool", "tool_call_id": "a", "content": said}
    assert over.dropped == (["messages.content.is_error"] if fields else [])


@pytest.mark.pitfall("P66", "P115", "P116")
def test_p66_p115_p116_arguments_are_the_clients_own_text() -> None:
    """P66, P115, P116: order, umlauts and integers above 2^53 survive."""
    arguments = '{"z":9007199254740993,"a":"grün","e":1e2}'
    raw = (
        '{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"q"},'
        '{"role":"assistant","content":[{"type":"tool_use","id":"a","name":"f","input":'
        + arguments
        + "}]}]}"
    )
    body = json.loads(write_request(read_request(raw.encode()), crossing()))
    assert body["messages"][1]["tool_calls"][0]["function"]["arguments"] == arguments


@pytest.mark.pitfall("P115", "P116", "B52")
def test_p115_p116_schemas_are_the_clients_own_bytes() -> None:
    """P115, P116: key order, spelling, umlauts and large integers survive."""
    schema = '{"type":"object","properties":{"ü":{"const":9007199254740993,"default":1.10}},"x":1}'
    raw = (
        '{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"q"}],'
        '"tools":[{"name":"f","input_schema":' + schema + "}],"
        '"output_config":{"format":{"type":"json_schema","schema":' + schema + "}}}"
    )
    sent = write_request(read_request(raw.encode()), crossing())
    assert b'"parameters":' + schema.encode() + b"}" in sent
    assert b'"schema":' + schema.encode() + b"}" in sent


@pytest.mark.pitfall("P96")
def test_p96_tools_are_wrapped_with_their_schemas_untouched() -> None:
    """P96: Chat's own shape."""
    schema = {"$schema": "x", "type": "object", "properties": {"n": {"const": 2**60}}}
    body = translate(
        tools=[{"name": "f", "description": "d", "input_schema": schema}, {**TOOL, "name": "g"}]
    )
    assert body["tools"] == [
        {"type": "function", "function": {"name": "f", "description": "d", "parameters": schema}},
        {
            "type": "function",
            "function": {"name": "g", "parameters": {"type": "object", "properties": {}}},
        },
    ]
    assert "tool_choice" not in body


@pytest.mark.pitfall("B51")
def test_tools_without_a_schema_and_repeated_ones() -> None:
    over = crossing()
    body = translate(tools=[{"name": "f", "type": "custom"}, TOOL], over=over)
    assert body["tools"] == [{"type": "function", "function": {"name": "f"}}]
    assert over.dropped == ["tools"]


def test_what_only_this_vendors_tools_have_is_lost() -> None:
    tool = {**TOOL, "cache_control": MARKER, "defer_loading": True, "input_examples": [{}]}
    assert lost(tools=[tool]) == ["tools.defer_loading", "tools.input_examples", "cache_control"]


@pytest.mark.pitfall("P98")
def test_p98_strict_tools_stay_strict_where_their_schema_allows_it() -> None:
    """P98, in this direction: never strict unasked, since optional members became required."""
    loose = {"type": "object", "properties": {"a": {"type": "string"}}}
    over = crossing()
    body = translate(
        tools=[
            {"name": "f", "strict": True, "input_schema": OBJECT_SCHEMA},
            {"name": "g", "strict": True, "input_schema": loose},
            {"name": "h", "input_schema": OBJECT_SCHEMA},
        ],
        over=over,
    )
    assert [each["function"] for each in body["tools"]] == [
        {"name": "f", "parameters": OBJECT_SCHEMA, "strict": True},
        {"name": "g", "parameters": loose},
        {"name": "h", "parameters": OBJECT_SCHEMA},
    ]
    assert over.dropped == ["tools.strict"]


@pytest.mark.pitfall("P113")
def test_p113_tool_names_keep_their_case_and_long_ones_are_remembered() -> None:
    """P113: the exact declared name comes back in the answer."""
    long = "mcp__server__" + "x" * 90
    over = crossing()
    body = translate(
        USER,
        assistant(use("a", "Bash"), use("b", long)),
        user(result("a"), result("b")),
        tools=[{**TOOL, "name": "Bash"}, {**TOOL, "name": long}],
        tool_choice={"type": "tool", "name": long},
        over=over,
    )
    names = [each["function"]["name"] for each in body["tools"]]
    assert names[0] == "Bash"
    assert len(names[1]) <= 64
    assert over.tool_names == {names[1]: long}
    assert body["tool_choice"] == {"type": "function", "function": {"name": names[1]}}
    calls = body["messages"][1]["tool_calls"]
    assert [each["function"]["name"] for each in calls] == names


@pytest.mark.parametrize(
    ("sent", "choice", "parallel"),
    [
        ({"type": "auto"}, "auto", None),
        ({"type": "any"}, "required", None),
        ({"type": "none"}, "none", None),
        ({"type": "tool", "name": "f"}, {"type": "function", "function": {"name": "f"}}, None),
        ({"type": "auto", "disable_parallel_tool_use": True}, "auto", False),
        ({"type": "any", "disable_parallel_tool_use": False}, "required", True),
    ],
)
def test_tool_choice(sent: dict[str, Any], choice: Any, parallel: bool | None) -> None:
    body = translate(tools=[TOOL], tool_choice=sent)
    assert body["tool_choice"] == choice
    assert body.get("parallel_tool_calls") == parallel


def test_one_forced_tool_beside_others_and_one_call_at_a_time() -> None:
    body = translate(
        tools=[TOOL, {**TOOL, "name": "g"}],
        tool_choice={"type": "tool", "name": "g", "disable_parallel_tool_use": True},
    )
    assert [each["function"]["name"] for each in body["tools"]] == ["f", "g"]
    assert body["tool_choice"] == {"type": "function", "function": {"name": "g"}}
    assert body["parallel_tool_calls"] is False


def test_thinking_does_not_soften_a_forced_tool() -> None:
    body = translate(
        model=THINKING,
        tools=[TOOL],
        tool_choice={"type": "any"},
        thinking={"type": "adaptive"},
        output_config={"effort": "high"},
    )
    assert (body["tool_choice"], body["reasoning_effort"]) == ("required", "high")


@pytest.mark.parametrize(
    ("choice", "param"),
    [
        ({"type": "tool", "name": "ghost"}, "tool_choice"),
        ({"type": "tool"}, "tool_choice.name"),
        ({"type": "required"}, "tool_choice.type"),
    ],
)
def test_choices_of_nothing_are_refused(choice: dict[str, Any], param: str) -> None:
    assert refused(tools=[TOOL], tool_choice=choice).param == param


@pytest.mark.pitfall("P68")
def test_p68_a_choice_without_tools_is_left_out() -> None:
    """P68: neither the choice nor the wish for one call at a time."""
    body = translate(tools=[], tool_choice={"type": "auto", "disable_parallel_tool_use": True})
    assert body.keys() == {"model", "messages", "max_tokens"}


@pytest.mark.pitfall("P111")
def test_p111_a_server_tool_never_becomes_a_function() -> None:
    """P111: dropped beside other tools, refused alone or forced."""
    search = {"type": "web_search_20250305", "name": "web_search", "max_uses": 3}
    over = crossing()
    body = translate(tools=[search, TOOL], over=over)
    assert [each["function"]["name"] for each in body["tools"]] == ["f"]
    assert over.dropped == ["tools"]
    alone = refused(tools=[search])
    forced = refused(tools=[search, TOOL], tool_choice={"type": "tool", "name": "web_search"})
    for refusal in (alone, forced):
        assert refusal.param == "tools"
        assert "'web_search' (web_search_20250305)" in refusal.message


def test_blocks_of_server_tools_stay_with_their_provider() -> None:
    over = crossing()
    body = translate(
        USER,
        assistant(
            {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {}},
            {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []},
            text("found it"),
        ),
        USER,
        over=over,
    )
    assert body["messages"][1] == {"role": "assistant", "content": "found it"}
    assert over.dropped == ["messages.content"]


@pytest.mark.parametrize(
    ("source", "url"),
    [
        (
            {"type": "base64", "media_type": "image/png", "data": PNG},
            f"data:image/png;base64,{PNG}",
        ),
        (
            {"type": "base64", "media_type": "image/jpg", "data": PNG},
            f"data:image/png;base64,{PNG}",
        ),
        ({"type": "url", "url": "https://example.com/x.png"}, "https://example.com/x.png"),
    ],
    ids=["base64", "wrong media type", "url"],
)
@pytest.mark.pitfall("P71")
def test_p71_images(source: dict[str, Any], url: str) -> None:
    """P71: the media type is what the bytes are."""
    body = translate(user(text("what is it?"), image(**source)))
    assert body["messages"][0]["content"] == [
        {"type": "text", "text": "what is it?"},
        {"type": "image_url", "image_url": {"url": url}},
    ]


@pytest.mark.parametrize(
    ("source", "field"),
    [
        ({"type": "url", "url": "file:///etc/passwd"}, "url"),
        ({"type": "url", "url": "x.png"}, "url"),
        ({"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="}, "media_type"),
        ({"type": "base64", "media_type": "image/png", "data": "JVBERi0="}, "media_type"),
    ],
)
def test_what_is_no_image_is_refused(source: dict[str, Any], field: str) -> None:
    assert refused(user(image(**source))).param == f"messages[0].content[0].source.{field}"


def test_documents() -> None:
    plain = {"type": "text", "media_type": "text/plain", "data": "once upon"}
    body = translate(
        user(
            {"type": "document", "source": PDF, "title": "a.pdf"},
            {"type": "document", "source": plain, "title": "Tale", "context": "a story"},
        )
    )
    assert body["messages"][0]["content"] == [
        {
            "type": "file",
            "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERi0="},
        },
        {"type": "text", "text": '<document title="Tale">\na story\nonce upon\n</document>'},
    ]


@pytest.mark.parametrize(
    "block",
    [
        {"type": "document", "source": {"type": "url", "url": "https://example.com/a.pdf"}},
        {"type": "document", "source": {"type": "file", "file_id": "file_1"}},
        {"type": "image", "source": {"type": "file", "file_id": "file_1"}},
    ],
)
def test_what_only_its_own_vendor_could_open_is_refused(block: dict[str, Any]) -> None:
    assert refused(user(block)).param == "messages"


def test_search_results_and_documents_of_blocks_become_text() -> None:
    found = {
        "type": "search_result",
        "source": "https://s",
        "title": "T",
        "content": [text("one"), text("two")],
    }
    blocks = {"type": "content", "content": [text("in"), image(type="url", url="https://x/y.png")]}
    body = translate(user(found, {"type": "document", "source": blocks}))
    assert body["messages"][0]["content"] == [
        text('<document title="T">\nhttps://s\none\ntwo\n</document>'),
        text("<document>\nin\n</document>"),
        {"type": "image_url", "image_url": {"url": "https://x/y.png"}},
    ]


@pytest.mark.pitfall("P74")
def test_p74_documents_of_results_are_told_or_follow() -> None:
    """P74: text in the `tool` message, a file in the user message after all of them."""
    plain = {"type": "text", "media_type": "text/plain", "data": "once"}
    body = translate(
        USER,
        assistant(use("a"), use("b")),
        user(
            result("a", [{"type": "document", "source": PDF}, text("see")]),
            result("b", [{"type": "document", "source": plain}]),
        ),
    )
    assert body["messages"][2:] == [
        {"role": "tool", "tool_call_id": "a", "content": "[file attached below]\nsee"},
        {"role": "tool", "tool_call_id": "b", "content": "<document>\nonce\n</document>"},
        {
            "role": "user",
            "content": [
                {
                    "type": "file",
                    "file": {
                        "filename": "document.pdf",
                        "file_data": "data:application/pdf;base64,JVBERi0=",
                    },
                }
            ],
        },
    ]


@pytest.mark.pitfall("P70")
def test_p70_what_only_users_may_show_is_lost_in_an_assistants_turn() -> None:
    """P70, in this direction: pictures and documents of the assistant's history."""
    over = crossing()
    shown = assistant(
        text("see"), image(type="base64", media_type="image/png", data=PNG), text(" this"),
        {"type": "document", "source": PDF},
    )  # fmt: skip
    body = translate(USER, shown, USER, over=over)
    assert body["messages"][1] == {"role": "assistant", "content": "see this"}
    assert over.dropped == ["messages.content"]


def test_what_a_document_asks_for_and_cannot_have_is_named() -> None:
    document = {"type": "document", "source": PDF, "context": "c", "citations": {"enabled": True}}
    assert lost(user(document)) == ["messages.content.citations", "messages.content.context"]
    document = {"type": "document", "source": PDF, "citations": {"enabled": False}}
    assert lost(user(document)) == []


def test_neighbouring_turns_are_joined_and_empty_texts_left_out() -> None:
    body = translate(
        USER, user(text("there")), {"role": "assistant", "content": ""}, user(text(""), text("x"))
    )
    assert body["messages"] == [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "hi"},
                {"type": "text", "text": "there"},
                {"type": "text", "text": "x"},
            ],
        }
    ]


def test_an_assistant_turn_to_be_continued_comes_last_as_it_is() -> None:
    body = translate(USER, {"role": "assistant", "content": "Once"})
    assert body["messages"][-1] == {"role": "assistant", "content": "Once"}


@pytest.mark.pitfall("P102")
def test_p102_reasoning_alone_leaves_no_message_behind() -> None:
    """P102: no message without content; the user's words before and after it join."""
    thinking = {"type": "thinking", "thinking": "hm", "signature": "s"}
    over = crossing()
    body = translate(USER, assistant(thinking, text("")), user(text("and?")), over=over)
    assert body["messages"] == [
        {"role": "user", "content": [text("hi"), text("and?")]},
    ]
    assert over.dropped == ["messages.content.thinking"]


@pytest.mark.pitfall("P63")
def test_p63_thinking_is_no_ordinary_text_for_another_provider() -> None:
    """P63: foreign thinking is dropped, never told as text."""
    body = translate(
        USER,
        assistant(
            {"type": "thinking", "thinking": "secret plan", "signature": "anthropic-own"},
            {"type": "redacted_thinking", "data": "sealed"},
            text("done"),
        ),
        USER,
    )
    assert body["messages"][1] == {"role": "assistant", "content": "done"}
    assert "secret plan" not in json.dumps(body)


def _sealed(provider: str, model: str) -> str:
    return envelope.pack(Opaque("sig", "native", issuer=provider, model=model))


def test_state_goes_back_to_who_issued_it_in_its_own_form() -> None:
    thinking = {"type": "thinking", "thinking": "hm", "signature": _sealed("up", PLAIN)}
    body = translate(USER, assistant(thinking, use("a")), user(result("a")))
    assert body["messages"][1]["reasoning_content"] == "hm"
    assert body["messages"][1]["reasoning_details"] == [
        {"type": "reasoning.text", "index": 0, "text": "hm", "signature": "native"}
    ]


@pytest.mark.parametrize(("provider", "model"), [("other", PLAIN), ("up", "other-model")])
def test_state_of_another_issuer_stays_behind(provider: str, model: str) -> None:
    thinking = {"type": "thinking", "thinking": "hm", "signature": _sealed(provider, model)}
    over = crossing()
    body = translate(USER, assistant(thinking, use("a")), user(result("a")), over=over)
    assert body["messages"][1].keys() == {"role", "content", "tool_calls"}
    assert body["messages"][1]["content"] is None
    assert "gw1." not in json.dumps(body)
    assert over.dropped == ["messages.content.thinking"]


def test_remembered_reasoning_is_given_back_for_a_client_that_echoes_nothing() -> None:
    kept = Reasoning(text="hm", opaque=Opaque("sig", "native", issuer="up", model=PLAIN))
    over = crossing(remembered={"a": (kept,)})
    body = translate(USER, assistant(use("a")), user(result("a")), over=over)
    assert body["messages"][1]["reasoning_details"][0]["signature"] == "native"


@pytest.mark.parametrize("signature", ["", "of-the-vendor", _sealed("other", "m"), "gw1.junk"])
def test_thinking_goes_without_its_state_to_providers_that_want_it_beside_calls(
    signature: str,
) -> None:
    thinking = {"type": "thinking", "thinking": "hm", "signature": signature}
    sealed = {"type": "redacted_thinking", "data": "sealed"}
    over = crossing(WANTS_REASONING)
    body = translate(USER, assistant(thinking, use("a")), user(result("a")), over=over)
    assert body["messages"][1] == {
        "role": "assistant",
        "content": None,
        "reasoning_content": "hm",
        "tool_calls": [{"id": "a", "type": "function", "function": CALLED}],
    }
    assert over.dropped == []
    translate(USER, assistant(thinking, sealed, use("a")), user(result("a")), over=over)
    assert over.dropped == ["messages.content.thinking"]


def test_thinking_of_a_turn_without_calls_goes_to_nobody() -> None:
    thinking = {"type": "thinking", "thinking": "hm", "signature": ""}
    body = translate(USER, assistant(thinking, text("x")), USER, model=WANTS_REASONING)
    assert body["messages"][1] == {"role": "assistant", "content": "x"}


def _budget(tokens: int) -> dict[str, Any]:
    return {"thinking": {"type": "enabled", "budget_tokens": tokens}}


def _effort(word: str) -> dict[str, Any]:
    return {"output_config": {"effort": word}}


ADAPTIVE = {"thinking": {"type": "adaptive"}}


@pytest.mark.parametrize(
    ("fields", "effort"),
    [
        ({}, None),
        ({"thinking": {"type": "disabled"}}, "none"),
        ({"thinking": {"type": "between_tools"}}, "none"),
        (_budget(1024), "low"),
        (_budget(4096), "low"),
        (_budget(4097), "medium"),
        (_budget(12_288), "medium"),
        (_budget(12_289), "high"),
        (_budget(24_576), "high"),
        (_budget(24_577), "xhigh"),
        (ADAPTIVE, None),
        (ADAPTIVE | _effort("high"), "high"),
        (_budget(1024) | _effort("high"), "high"),
        (_effort("low"), "low"),
        (_effort("max"), "xhigh"),
        ({"thinking": {"type": "disabled"}} | _effort("high"), "none"),
    ],
)
def test_thinking_becomes_an_effort(fields: dict[str, Any], effort: str | None) -> None:
    over = crossing("gpt-5.2")
    body = translate(**{"max_tokens": 32_000, **fields}, over=over)
    assert body.get("reasoning_effort") == effort
    assert over.dropped == []


@pytest.mark.parametrize(
    ("model", "fields", "effort"),
    [
        ("gpt-5", _budget(1024), "minimal"),
        ("openai/gpt-5-mini", _budget(30_000), "high"),
        ("gpt-5.1", _budget(1024), "low"),
        ("gpt-5.6", _effort("max"), "max"),
        ("gpt-7", _effort("max"), "max"),
        ("o3-mini", _effort("xhigh"), "high"),
        ("deepseek-reasoner", _effort("max"), "high"),
    ],
)
def test_an_effort_a_model_lacks_becomes_the_nearest(
    model: str, fields: dict[str, Any], effort: str
) -> None:
    assert translate(model=model, **fields)["reasoning_effort"] == effort


@pytest.mark.parametrize("model", ["gpt-5", "o3", PLAIN])
def test_models_that_cannot_stop_thinking_are_not_told_to(model: str) -> None:
    over = crossing(model)
    assert "reasoning_effort" not in translate(thinking={"type": "disabled"}, over=over)
    assert over.dropped == ["thinking"]


def test_an_effort_nobody_knows_is_lost() -> None:
    over = crossing(THINKING)
    assert "reasoning_effort" not in translate(output_config={"effort": "turbo"}, over=over)
    assert over.dropped == ["output_config.effort"]


@pytest.mark.parametrize(
    ("display", "show"), [(None, True), ("summarized", True), ("omitted", False)]
)
def test_thinking_is_shown_unless_the_client_wants_it_omitted(
    display: str | None, show: bool
) -> None:
    over = crossing(THINKING)
    translate(thinking={"type": "adaptive", "display": display}, over=over)
    assert over.show_reasoning is show


def test_a_model_that_cannot_think_is_not_told_to() -> None:
    thinking = {"type": "enabled", "budget_tokens": 2048}
    over = crossing("gpt-4.1")
    body = translate(thinking=thinking, max_tokens=4096, over=over)
    assert body.keys() == {"model", "messages", "max_completion_tokens"}
    assert over.dropped == ["thinking"]
    assert lost(thinking={"type": "disabled"}, model="gpt-4.1") == []


@pytest.mark.pitfall("P105")
def test_p105_reasoning_models_get_their_own_limit_and_no_sampling() -> None:
    """P105: what they refuse is left out and named; no field they might not know is added."""
    over = crossing(THINKING)
    body = translate(temperature=0.5, top_p=0.9, stop_sequences=["END"], over=over)
    assert body.keys() == {"model", "messages", "max_completion_tokens"}
    assert body["max_completion_tokens"] == 100
    assert sorted(over.dropped) == ["temperature", "top_p"]
    assert over.stops == ("END",)  # watched for instead


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("gpt-4.1", "max_completion_tokens"),
        ("o4-mini", "max_completion_tokens"),
        ("openai/gpt-5-mini", "max_completion_tokens"),
        ("openai/gpt-oss-120b", "max_tokens"),
        (WANTS_REASONING, "max_tokens"),
        (PLAIN, "max_tokens"),
    ],
)
@pytest.mark.pitfall("P105")
def test_p105_the_limit_has_the_name_the_model_knows(model: str, name: str) -> None:
    """P105: max_tokens is refused by reasoning models, the other name unknown elsewhere."""
    assert translate(model=model).keys() - {"model", "messages"} == {name}
    assert translate(model=model, max_tokens=LEFT_OUT).keys() == {"model", "messages"}


@pytest.mark.pitfall("P105")
def test_p105_values_that_say_the_default_are_left_out_silently() -> None:
    """P105: nothing is lost with a temperature of 1."""
    over = crossing(THINKING)
    body = translate(temperature=1, top_p=1, stop_sequences=[], over=over)
    assert body.keys() == {"model", "messages", "max_completion_tokens"}
    assert over.dropped == []


def test_sampling_and_stops_pass() -> None:
    body = translate(temperature=0.5, top_p=0.9, stop_sequences=["a", "b"])
    assert (body["temperature"], body["top_p"], body["stop"]) == (0.5, 0.9, ["a", "b"])


def test_stops_beyond_the_fourth_are_watched_for() -> None:
    over = crossing(PLAIN)
    body = translate(stop_sequences=["1", "2", "3", "4", "5"], over=over)
    assert (body["stop"], over.stops, over.dropped) == (["1", "2", "3", "4"], ("5",), [])


def test_structured_output_gets_a_name_and_is_strict_where_it_can_be() -> None:
    config = {"format": {"type": "json_schema", "schema": OBJECT_SCHEMA}}
    assert translate(output_config=config)["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "response", "schema": OBJECT_SCHEMA, "strict": True},
    }
    loose = {"type": "object", "properties": {"a": {"type": "string"}}}
    config = {"format": {"type": "json_schema", "schema": loose}}
    assert translate(output_config=config)["response_format"]["json_schema"] == {
        "name": "response",
        "schema": loose,
    }


def test_the_earlier_name_of_structured_output_is_known() -> None:
    form = {"type": "json_schema", "schema": OBJECT_SCHEMA}
    assert translate(output_format=form) == translate(output_config={"format": form})
    both = translate(output_config={"effort": "low", "format": form}, model=THINKING)
    assert both["reasoning_effort"] == "low"
    assert both["response_format"]["json_schema"]["schema"] == OBJECT_SCHEMA


@pytest.mark.parametrize(
    ("form", "param"),
    [
        ({"type": "json_object"}, "output_config.format.type"),
        ({"type": "json_schema"}, "output_config.format.schema"),
    ],
)
def test_other_forms_of_output_are_refused(form: dict[str, Any], param: str) -> None:
    assert refused(output_config={"format": form}).param == param


@pytest.mark.pitfall("B58")
def test_streams_always_ask_for_usage() -> None:
    body = translate(stream=True)
    assert (body["stream"], body["stream_options"]) == (True, {"include_usage": True})
    assert translate(stream=False).keys() & {"stream", "stream_options"} == set()


@pytest.mark.parametrize(
    ("fields", "tier"),
    [
        ({"service_tier": "auto"}, "auto"),
        ({"service_tier": "standard_only"}, "default"),
        ({"speed": "fast"}, "priority"),
        ({"speed": "fast", "service_tier": "standard_only"}, "priority"),
        ({"speed": "standard"}, None),
        ({}, None),
    ],
)
def test_service_tiers(fields: dict[str, Any], tier: str | None) -> None:
    assert translate(**fields).get("service_tier") == tier


def test_the_user_and_a_key_that_keeps_a_session_in_one_cache() -> None:
    body = translate(metadata={"user_id": "user_1_account__session_abc-123"})
    assert body["user"] == "user_1_account__session_abc-123"
    assert body["prompt_cache_key"] == "abc-123"
    user_id = '{"device_id":"d","session_id":"5f-e1"}'
    assert translate(metadata={"user_id": user_id})["prompt_cache_key"] == "5f-e1"
    assert translate(metadata={}).keys() == {"model", "messages", "max_tokens"}
    long = "u" * 65
    body = translate(metadata={"user_id": long})
    assert body["user"] == hashlib.sha256(long.encode()).hexdigest()
    assert body["prompt_cache_key"] == hashlib.sha256(long.encode()).hexdigest()[:32]


@pytest.mark.parametrize(
    ("messages", "fields", "names"),
    [
        ([user(text("hi", cache_control=MARKER))], {}, ["cache_control"]),
        ([USER], {"system": [text("s", cache_control=MARKER)]}, ["cache_control"]),
        ([USER], {"tools": [{**TOOL, "cache_control": MARKER}]}, ["cache_control"]),
        ([USER], {"cache_control": MARKER}, ["cache_control"]),
        (
            [USER, assistant(use("a")), user(result("a", [text("r", cache_control=MARKER)]))],
            {},
            ["cache_control"],
        ),
        ([USER], {"top_k": 5}, ["top_k"]),
        (
            [USER],
            {"container": "c", "mcp_servers": [], "thinking": None},
            ["container", "mcp_servers"],
        ),
        (
            [USER, assistant({**text("x"), "citations": [{"type": "char_location"}]}), USER],
            {},
            ["messages.content.citations"],
        ),
        (
            [
                USER,
                assistant(use("a")),
                user(result("a", [{"type": "tool_reference", "tool_name": "f"}])),
            ],
            {},
            ["messages.content"],
        ),
    ],
)
def test_every_loss_is_named_as_the_client_wrote_it(
    messages: list[dict[str, Any]], fields: dict[str, Any], names: list[str]
) -> None:
    assert lost(*messages, **fields) == names


@pytest.mark.parametrize(
    ("message", "param"),
    [
        ({"role": "user", "content": [{"type": "text"}]}, "messages[0].content[0].text"),
        ({"role": "robot", "content": "x"}, "messages[0].role"),
        ({"role": "user", "content": 3}, "messages[0].content"),
        (
            assistant({"type": "tool_use", "id": "a", "name": "f", "input": "{}"}),
            "messages[0].content[0].input",
        ),
    ],
)
def test_bad_input_is_refused_with_its_place(message: dict[str, Any], param: str) -> None:
    assert refused(message).param == param


CALL = assistant(use("a"))
THOUGHT = {"type": "thinking", "thinking": "hm", "signature": "s"}
SEEN = image(type="url", url="https://example.com/x.png")


@pytest.mark.parametrize(
    ("messages", "place"),
    [
        ([user(use("a"))], "messages[0].content[0]"),
        ([user(text("x"), THOUGHT)], "messages[0].content[1]"),
        ([user({"type": "redacted_thinking", "data": "x"})], "messages[0].content[0]"),
        ([USER, assistant(result("a"))], "messages[1].content[0]"),
        ([USER, CALL, user(result("a", [use("b")]))], "messages[2].content[0].content[0]"),
        ([USER, CALL, user(result("a", [result("a")]))], "messages[2].content[0].content[0]"),
        ([USER, CALL, user(result("a", [THOUGHT]))], "messages[2].content[0].content[0]"),
        ([USER, {"role": "system", "content": [SEEN]}], "messages[1].content[0]"),
        (
            [user({"type": "document", "source": {"type": "content", "content": [use("a")]}})],
            "messages[0].content[0].source.content[0]",
        ),
    ],
)
def test_blocks_where_none_of_their_kind_may_stand_are_refused(
    messages: list[dict[str, Any]], place: str
) -> None:
    assert refused(*messages).param == f"{place}.type"


@pytest.mark.parametrize("messages", [[], [{"role": "user", "content": ""}]])
def test_nothing_to_say_is_refused(messages: list[dict[str, Any]]) -> None:
    with pytest.raises(BadRequest):
        write_request(
            read_request(
                json.dumps({"model": "m", "max_tokens": 1, "messages": messages}).encode()
            ),
            crossing(),
        )


# Any conversation at all becomes one that the API takes.

WORDS = st.sampled_from(["", " ", "hi", "a\nb ", "ü", '{"a":1}'])
IDS = st.sampled_from(["", "a", "b", "call_0", "functions.x:0", "z" * 70])
NAMES = st.sampled_from(["f", "g.h", "n" * 80])
TEXTS = st.one_of(
    st.builds(text, WORDS), st.builds(lambda words: text(words, cache_control=MARKER), WORDS)
)
SHOWN = st.one_of(
    TEXTS,
    st.just(image(type="base64", media_type="image/png", data=PNG)),
    st.just({"type": "document", "source": PDF}),
    st.just({"type": "later_kind"}),
)
RESULTS = st.builds(
    lambda tool_id, content, is_error: result(tool_id, content, is_error=is_error),
    IDS,
    st.none() | WORDS | st.lists(SHOWN, max_size=3),
    st.booleans(),
)
THINKING_BLOCKS = st.sampled_from(
    [
        THOUGHT,
        {"type": "thinking", "thinking": "", "signature": _sealed("up", PLAIN)},
        {"type": "thinking", "thinking": "hm", "signature": _sealed("up", WANTS_REASONING)},
        {"type": "thinking", "thinking": "hm", "signature": ""},
        {"type": "redacted_thinking", "data": "sealed"},
    ]
)
USES = st.builds(use, IDS, NAMES)
MESSAGES = st.one_of(
    st.builds(lambda content: {"role": "system", "content": content}, WORDS | st.lists(TEXTS)),
    st.builds(
        lambda content: {"role": "user", "content": content},
        WORDS | st.lists(SHOWN | RESULTS, max_size=4),
    ),
    st.builds(
        lambda content: {"role": "assistant", "content": content},
        WORDS | st.lists(SHOWN | USES | THINKING_BLOCKS, max_size=4),
    ),
)
FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "system": WORDS | st.lists(TEXTS, max_size=2),
        "thinking": st.sampled_from(
            [{"type": "disabled"}, {"type": "adaptive"}, _budget(9000)["thinking"]]
        ),
        "output_config": st.sampled_from(
            [{"effort": "max"}, {"format": {"type": "json_schema", "schema": OBJECT_SCHEMA}}]
        ),
        "temperature": st.sampled_from([0, 0.5, 1]),
        "stop_sequences": st.lists(WORDS, max_size=6),
        "tools": st.lists(
            st.builds(lambda name: {**TOOL, "name": name, "strict": True}, NAMES), max_size=3
        ),
        "tool_choice": st.sampled_from(
            [{"type": "any"}, {"type": "none"}, {"type": "auto", "disable_parallel_tool_use": True}]
        ),
        "stream": st.booleans(),
        "metadata": st.builds(lambda user_id: {"user_id": user_id}, WORDS),
    },
)


@settings(max_examples=300, deadline=None)
@given(
    messages=st.lists(MESSAGES, max_size=7),
    fields=FIELDS,
    model=st.sampled_from([PLAIN, THINKING, WANTS_REASONING, "gpt-4.1", "o3"]),
)
def test_every_translated_conversation_is_legal(
    messages: list[dict[str, Any]], fields: dict[str, Any], model: str
) -> None:
    """`translate` lets the strict validator judge; the user's words are never lost."""
    body = translate(*messages, user(text("the last word")), model=model, **fields)
    last = body["messages"][-1]["content"]
    parts = [text(last)] if isinstance(last, str) else last
    assert parts[-1] == text("the last word")
    said = json.dumps(body["messages"], ensure_ascii=False)
    for message in messages:
        if isinstance(message["content"], str):
            assert json.dumps(message["content"], ensure_ascii=False)[1:-1] in said
            continue
        for block in message["content"]:
            if block["type"] == "text":
                assert json.dumps(block["text"], ensure_ascii=False)[1:-1] in said


def test_calls_of_the_history_are_declared_though_the_client_declares_none() -> None:
    """Some servers refuse them else; the model must not call them again."""
    use = {"type": "tool_use", "id": "a", "name": "get_weather", "input": {"city": "Oslo"}}
    result = {"type": "tool_result", "tool_use_id": "a", "content": "4"}
    said = {"role": "assistant", "content": [use]}
    body = translate(USER, said, {"role": "user", "content": [result]})
    assert body["tools"] == [{"type": "function", "function": {"name": "get_weather"}}]
    assert body["tool_choice"] == "none"


def test_empty_stops_are_none() -> None:
    assert "stop" not in translate(stop_sequences=["", ""])
