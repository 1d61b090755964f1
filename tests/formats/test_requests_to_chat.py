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
USER = {"role": "user", "content": "hi"}
TOOL = {"name": "f", "input_schema": {"type": "object", "properties": {}}}
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
    sent = {"model": "alias", "max_tokens": 100, "messages": list(messages or (USER,)), **fields}
    body = json.loads(
        write_request(read_request(json.dumps(sent).encode()), over or crossing(model))
    )
    legal = {**body, "messages": [_without_extensions(each) for each in body["messages"]]}
    assert problems(legal) == []
    return body


def _without_extensions(message: dict[str, Any]) -> dict[str, Any]:
    return {
        name: value
        for name, value in message.items()
        if name not in ("reasoning_content", "reasoning_details")
    }


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


CALLED = {"name": "f", "arguments": "{}"}


def user(*blocks: dict[str, Any]) -> dict[str, Any]:
    return {"role": "user", "content": list(blocks)}


def text(words: str, **fields: Any) -> dict[str, Any]:
    return {"type": "text", "text": words, **fields}


def image(**source: Any) -> dict[str, Any]:
    return {"type": "image", "source": source}


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


def test_p72_a_system_message_in_mid_conversation_keeps_its_place() -> None:
    """P72."""
    body = translate(
        USER, {"role": "assistant", "content": "yes"}, {"role": "system", "content": "now X"}, USER
    )
    assert [(each["role"], each["content"]) for each in body["messages"]] == [
        ("user", "hi"),
        ("assistant", "yes"),
        ("system", "now X"),
        ("user", "hi"),
    ]


def test_p112_the_billing_line_that_changes_each_time_stays_behind() -> None:
    """P112: two requests that differ in it alone give the same bytes."""
    bodies = [
        translate(system=[text(f"x-anthropic-billing-header: cch={mark};"), text("be brief")])
        for mark in ("a1", "b2")
    ]
    assert bodies[0] == bodies[1]
    assert bodies[0]["messages"][0] == {"role": "system", "content": "be brief"}


def test_p55_results_come_first_one_message_each_then_the_users_words() -> None:
    """P55, in this direction."""
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


def test_p75_each_result_keeps_the_id_of_its_call() -> None:
    """P75."""
    body = translate(USER, assistant(use("toolu_01ABC")), user(result("toolu_01ABC")))
    assert body["messages"][1]["tool_calls"][0]["id"] == "toolu_01ABC"
    assert body["messages"][2]["tool_call_id"] == "toolu_01ABC"


def test_p103_long_ids_are_shortened_alike_in_call_and_result() -> None:
    """P103."""
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


def test_p74_p114_images_of_results_follow_in_one_user_message() -> None:
    """P74, P114."""
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


def test_tools_are_wrapped_with_their_schemas_untouched() -> None:
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


def test_p113_tool_names_keep_their_case_and_long_ones_are_remembered() -> None:
    """P113."""
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


def test_p68_a_choice_without_tools_is_left_out() -> None:
    """P68."""
    body = translate(tools=[], tool_choice={"type": "auto", "disable_parallel_tool_use": True})
    assert body.keys() == {"model", "messages", "max_tokens"}


def test_p111_a_server_tool_never_becomes_a_function() -> None:
    """P111."""
    search = {"type": "web_search_20250305", "name": "web_search", "max_uses": 3}
    over = crossing()
    body = translate(tools=[search, TOOL], over=over)
    assert [each["function"]["name"] for each in body["tools"]] == ["f"]
    assert over.dropped == ["tools"]
    assert "web_search" in refused(tools=[search]).message  # the model could do nothing it was for
    forced = refused(tools=[search], tool_choice={"type": "tool", "name": "web_search"})
    assert "web_search" in forced.message


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
def test_p71_images(source: dict[str, Any], url: str) -> None:
    """P71."""
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
    pdf = {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="}
    plain = {"type": "text", "media_type": "text/plain", "data": "once upon"}
    body = translate(
        user(
            {"type": "document", "source": pdf, "title": "a.pdf"},
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


def test_p70_what_only_users_may_show_is_lost_in_an_assistants_turn() -> None:
    """P70, in this direction: pictures and documents of the assistant's history."""
    pdf = {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="}
    over = crossing()
    shown = assistant(
        text("see"), image(type="base64", media_type="image/png", data=PNG), text(" this"),
        {"type": "document", "source": pdf},
    )  # fmt: skip
    body = translate(USER, shown, USER, over=over)
    assert body["messages"][1] == {"role": "assistant", "content": "see this"}
    assert over.dropped == ["messages.content"]


def test_what_a_document_asks_for_and_cannot_have_is_named() -> None:
    pdf = {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="}
    document = {"type": "document", "source": pdf, "context": "c", "citations": {"enabled": True}}
    assert lost(user(document)) == ["messages.content.citations", "messages.content.context"]
    document = {"type": "document", "source": pdf, "citations": {"enabled": False}}
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


def test_p102_reasoning_alone_leaves_no_message_behind() -> None:
    """P102: no message without content; the user's words before and after it join."""
    thinking = {"type": "thinking", "thinking": "hm", "signature": "s"}
    over = crossing()
    body = translate(USER, assistant(thinking, text("")), user(text("and?")), over=over)
    assert body["messages"] == [
        {"role": "user", "content": [text("hi"), text("and?")]},
    ]
    assert over.dropped == ["messages.content.thinking"]


def test_p63_thinking_is_no_ordinary_text_for_another_provider() -> None:
    """P63, and translation rules §10."""
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


@pytest.mark.parametrize(
    ("fields", "effort"),
    [
        ({}, None),
        ({"thinking": {"type": "disabled"}}, "none"),
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, "minimal"),
        ({"thinking": {"type": "enabled", "budget_tokens": 4096}}, "low"),
        ({"thinking": {"type": "enabled", "budget_tokens": 10_000}}, "medium"),
        ({"thinking": {"type": "enabled", "budget_tokens": 20_000}}, "high"),
        ({"thinking": {"type": "adaptive"}}, None),
        ({"thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}}, "high"),
        ({"output_config": {"effort": "low"}}, "low"),
    ],
)
def test_thinking_becomes_an_effort(fields: dict[str, Any], effort: str | None) -> None:
    found = translate(model=THINKING, **{"max_tokens": 32_000, **fields}).get("reasoning_effort")
    if effort == "minimal":  # not every model has it: the nearest it knows
        assert found in ("minimal", "low", "none")
    else:
        assert found == effort


def test_a_model_that_cannot_think_is_not_told_to() -> None:
    thinking = {"type": "enabled", "budget_tokens": 2048}
    over = crossing("gpt-4.1")
    body = translate(thinking=thinking, max_tokens=4096, over=over)
    assert "reasoning_effort" not in body
    assert "thinking" in over.dropped


def test_p105_reasoning_models_get_their_own_limit_and_no_sampling() -> None:
    """P105."""
    over = crossing(THINKING)
    body = translate(temperature=0.5, top_p=0.9, stop_sequences=["END"], over=over)
    assert body.keys() == {"model", "messages", "max_completion_tokens"}
    assert body["max_completion_tokens"] == 100
    assert sorted(over.dropped) == ["stop_sequences", "temperature", "top_p"]


def test_sampling_and_stops_pass() -> None:
    body = translate(temperature=0.5, top_p=0.9, stop_sequences=["a", "b"])
    assert (body["temperature"], body["top_p"], body["stop"]) == (0.5, 0.9, ["a", "b"])
    assert lost(stop_sequences=["1", "2", "3", "4", "5"]) == ["stop_sequences"]
    assert translate(stop_sequences=["1", "2", "3", "4", "5"])["stop"] == ["1", "2", "3", "4"]


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
    ],
)
def test_service_tiers(fields: dict[str, Any], tier: str) -> None:
    assert translate(**fields)["service_tier"] == tier


def test_the_user_and_a_key_that_keeps_a_session_in_one_cache() -> None:
    body = translate(metadata={"user_id": "user_1_account__session_abc-123"})
    assert body["user"] == "user_1_account__session_abc-123"
    assert body["prompt_cache_key"] == "abc-123"
    long = "u" * 65
    body = translate(metadata={"user_id": long})
    assert body["user"] == hashlib.sha256(long.encode()).hexdigest()
    assert body["prompt_cache_key"] == hashlib.sha256(long.encode()).hexdigest()[:32]


def test_every_loss_is_named_as_the_client_wrote_it() -> None:
    marker = {"type": "ephemeral"}
    over = crossing()
    translate(
        user(text("hi", cache_control=marker)),
        system=[text("s", cache_control=marker)],
        tools=[{**TOOL, "cache_control": marker}],
        top_k=5,
        container="c1",
        over=over,
    )
    assert sorted(over.dropped) == ["cache_control", "container", "top_k"]


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


_WORDS = st.text(st.characters(codec="utf-8"), max_size=8)
_ID = st.sampled_from(["a", "b", "c", "functions.x:0", ""])
_BLOCKS = {
    "user": st.one_of(
        st.builds(text, _WORDS),
        st.builds(result, _ID, st.one_of(_WORDS, st.lists(st.builds(text, _WORDS), max_size=2))),
        st.just(image(type="base64", media_type="image/png", data=PNG)),
    ),
    "assistant": st.one_of(
        st.builds(text, _WORDS),
        st.builds(use, _ID),
        st.builds(lambda words: {"type": "thinking", "thinking": words, "signature": "s"}, _WORDS),
    ),
}
_TURNS = st.sampled_from(["user", "assistant"]).flatmap(
    lambda role: st.fixed_dictionaries(
        {"role": st.just(role), "content": st.lists(_BLOCKS[role], max_size=4)}
    )
)


@settings(max_examples=200)
@given(st.lists(_TURNS, max_size=6))
def test_whatever_a_client_sends_becomes_a_legal_conversation(turns: list[dict[str, Any]]) -> None:
    """`translate` lets the strict validator judge; a word of the user is never lost."""
    turns = [*turns, user(text("the last word"))]
    body = translate(*turns)
    said = json.dumps(body["messages"], ensure_ascii=False)
    assert "the last word" in said
    for turn in turns:
        for block in turn["content"]:
            if block["type"] == "text" and block["text"]:
                assert json.dumps(block["text"], ensure_ascii=False)[1:-1] in said
