"""Requests of Messages and Chat clients as a Responses provider gets them."""

import hashlib
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.strict_responses_request import problems

from plexus_proxy.errors import BadRequest
from plexus_proxy.formats import envelope
from plexus_proxy.formats.chat.request_reader import read_request as read_chat
from plexus_proxy.formats.conversation import Crossing, Reasoning
from plexus_proxy.formats.events import Opaque
from plexus_proxy.formats.messages.request_reader import read_request as read_messages
from plexus_proxy.formats.responses.request_writer import write_request

MODEL = "gpt-5.1"
USER = {"role": "user", "content": "hi"}
TOOL = {"name": "f", "input_schema": {"type": "object", "properties": {}}}
PNG = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJg"
    "gg=="
)
STRICT = {
    "type": "object",
    "properties": {"a": {"type": "string"}},
    "required": ["a"],
    "additionalProperties": False,
}


def crossing(model: str = MODEL, **fields: Any) -> Crossing:
    return Crossing(provider="up", model=model, response_id="r", created_s=1, **fields)


def translate(
    *messages: dict[str, Any], model: str = MODEL, over: Crossing | None = None, **fields: Any
) -> dict[str, Any]:
    """Of a Messages client; the strict validator has found it legal."""
    sent = {"model": "m", "max_tokens": 100, "messages": list(messages or (USER,)), **fields}
    body = json.loads(
        write_request(read_messages(json.dumps(sent).encode()), over or crossing(model))
    )
    assert problems(body) == []
    assert "gw1." not in json.dumps(body)
    return body


def from_chat(
    *messages: dict[str, Any], over: Crossing | None = None, **fields: Any
) -> dict[str, Any]:
    sent = {"model": "m", "messages": list(messages or (USER,)), **fields}
    body = json.loads(write_request(read_chat(json.dumps(sent).encode()), over or crossing()))
    assert problems(body) == []
    return body


def use(tool_id: str, **arguments: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": tool_id, "name": "f", "input": arguments}


def result(tool_id: str, content: Any = "ok", **fields: Any) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": tool_id, "content": content, **fields}


def assistant(*blocks: dict[str, Any]) -> dict[str, Any]:
    return {"role": "assistant", "content": list(blocks)}


def user(*blocks: dict[str, Any]) -> dict[str, Any]:
    return {"role": "user", "content": list(blocks)}


def text(words: str) -> dict[str, Any]:
    return {"type": "text", "text": words}


def call(call_id: str, arguments: str = "{}") -> dict[str, Any]:
    return {"type": "function_call", "call_id": call_id, "name": "f", "arguments": arguments}


def output(call_id: str, said: Any) -> dict[str, Any]:
    return {"type": "function_call_output", "call_id": call_id, "output": said}


@pytest.mark.pitfall("B27")
def test_a_short_request_says_what_it_said_and_stores_nothing() -> None:
    assert translate(model="gpt-4.1") == {
        "model": "gpt-4.1",
        "input": [{"type": "message", "role": "user", "content": "hi"}],
        "store": False,
        "max_output_tokens": 100,
    }


def test_system_text_becomes_instructions_and_later_ones_developer_items() -> None:
    body = translate(
        USER,
        assistant(text("yes")),
        {"role": "system", "content": "now X"},
        USER,
        system=[text("one"), text("two")],
    )
    assert body["instructions"] == "one\n\ntwo"
    assert [(each["role"], each["content"]) for each in body["input"]] == [
        ("user", "hi"),
        ("assistant", [{"type": "output_text", "text": "yes"}]),
        ("developer", "now X"),
        ("user", "hi"),
    ]


def test_a_conversation_of_system_text_alone_is_said_as_an_item() -> None:
    body = from_chat({"role": "system", "content": "write a poem"})
    assert body["input"] == [{"type": "message", "role": "developer", "content": "write a poem"}]
    assert "instructions" not in body


@pytest.mark.pitfall("P45", "P55", "P96", "P97", "B25")
def test_p55_p96_each_part_of_a_turn_is_an_item_in_order() -> None:
    body = translate(
        USER,
        assistant(text("both:"), use("a", x=1), use("b")),
        user(text("go on"), result("b", "B"), result("a", [text("A1"), text("A2")])),
        tools=[TOOL],
    )
    assert body["input"][1:] == [
        {
            "type": "message",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "both:"}],
        },
        call("a", '{"x":1}'),
        call("b"),
        output("a", "A1\nA2"),
        output("b", "B"),
        {"type": "message", "role": "user", "content": "go on"},
    ]
    assert body["tools"] == [
        {
            "type": "function",
            "name": "f",
            "parameters": {"type": "object", "properties": {}},
            "strict": False,
        }
    ]


@pytest.mark.pitfall("P56")
def test_p56_what_is_missing_or_orphaned_is_mended() -> None:
    body = translate(USER, assistant(use("a")), user(result("gone", "old")))
    assert body["input"][1:3] == [call("a"), output("a", "Tool execution was interrupted")]
    assert "old" in json.dumps(body["input"][3])


def test_images_of_results_stay_in_their_results() -> None:
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}
    body = translate(USER, assistant(use("a")), user(result("a", [text("seen"), image])))
    assert body["input"][2]["output"] == [
        {"type": "input_text", "text": "seen"},
        {
            "type": "input_image",
            "image_url": f"data:image/png;base64,{PNG}",
            "detail": "auto",
        },
    ]


def test_documents_and_images_in_the_users_words() -> None:
    pdf = {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="}
    body = translate(
        user(
            {"type": "document", "source": pdf, "title": "a.pdf"},
            {"type": "document", "source": {"type": "url", "url": "https://e.com/b.pdf"}},
            {
                "type": "document",
                "source": {"type": "text", "media_type": "text/plain", "data": "t"},
            },
            {"type": "image", "source": {"type": "url", "url": "https://e.com/c.png"}},
        )
    )
    assert body["input"][0]["content"] == [
        {
            "type": "input_file",
            "filename": "a.pdf",
            "file_data": "data:application/pdf;base64,JVBERi0=",
        },
        {"type": "input_file", "file_url": "https://e.com/b.pdf"},
        {"type": "input_text", "text": "<document>\nt\n</document>"},
        {"type": "input_image", "image_url": "https://e.com/c.png", "detail": "auto"},
    ]


@pytest.mark.pitfall("P103", "B24")
def test_p103_long_ids_are_shortened_alike() -> None:
    """P103, and vector 18.8."""
    long = "t" * 80
    body = translate(USER, assistant(use(long)), user(result(long)))
    short = f"{'t' * 55}_{hashlib.sha256(long.encode()).hexdigest()[:8]}"
    assert [each["call_id"] for each in body["input"][1:3]] == [short, short]


@pytest.mark.pitfall("B24")
def test_composite_ids_that_fit_are_kept() -> None:
    body = translate(USER, assistant(use("call_a|fc_b")), user(result("call_a|fc_b")))
    assert [each["call_id"] for each in body["input"][1:3]] == ["call_a|fc_b"] * 2


@pytest.mark.pitfall("P104")
def test_p104_a_limit_below_the_least_is_raised() -> None:
    assert translate(max_tokens=3)["max_output_tokens"] == 16


@pytest.mark.pitfall("P98")
def test_p98_strict_is_said_and_only_where_it_can_be() -> None:
    tools = [
        {"type": "function", "function": {"name": "a", "parameters": STRICT, "strict": True}},
        {
            "type": "function",
            "function": {"name": "b", "parameters": {"type": "object"}, "strict": True},
        },
        {"type": "function", "function": {"name": "c"}},
    ]
    over = crossing()
    body = from_chat(tools=tools, over=over)
    assert [each["strict"] for each in body["tools"]] == [True, False, False]
    assert over.dropped == ["tools.function.strict"]


def test_custom_tools_stay_custom() -> None:
    tool = {"type": "custom", "custom": {"name": "sh", "description": "d"}}
    called = {"id": "c1", "type": "custom", "custom": {"name": "sh", "input": "ls"}}
    body = from_chat(
        USER,
        {"role": "assistant", "content": None, "tool_calls": [called]},
        {"role": "tool", "tool_call_id": "c1", "content": "files"},
        tools=[tool],
        tool_choice={"type": "custom", "custom": {"name": "sh"}},
    )
    assert body["tools"] == [{"type": "custom", "name": "sh", "description": "d"}]
    assert body["tool_choice"] == {"type": "custom", "name": "sh"}
    assert body["input"][1:] == [
        {"type": "custom_tool_call", "call_id": "c1", "name": "sh", "input": "ls"},
        {"type": "custom_tool_call_output", "call_id": "c1", "output": "files"},
    ]


@pytest.mark.parametrize(
    ("sent", "choice"),
    [
        ({"type": "auto"}, "auto"),
        ({"type": "any"}, "required"),
        ({"type": "none"}, "none"),
        ({"type": "tool", "name": "f"}, {"type": "function", "name": "f"}),
    ],
)
def test_tool_choice(sent: dict[str, Any], choice: Any) -> None:
    assert translate(tools=[TOOL], tool_choice=sent)["tool_choice"] == choice
    assert "tool_choice" not in translate(tool_choice={"type": "auto"})


def _thinking(provider: str = "up", model: str = MODEL, kind: Any = "enc") -> dict[str, Any]:
    state = Opaque(kind, "blob", issuer=provider, model=model, item_id="rs_1")
    return {"type": "thinking", "thinking": "hm", "signature": envelope.pack(state)}


@pytest.mark.pitfall("P99")
def test_p99_own_reasoning_goes_back_before_what_it_led_to() -> None:
    """P99, P113 of the vault: echoed, or remembered for a client that echoes nothing."""
    item = {
        "type": "reasoning",
        "id": "rs_1",
        "summary": [{"type": "summary_text", "text": "hm"}],
        "encrypted_content": "blob",
    }
    echoed = translate(USER, assistant(_thinking(), use("a")), user(result("a")))
    assert echoed["input"][1:3] == [item, call("a")]
    part = Reasoning(
        text="hm", opaque=Opaque("enc", "blob", issuer="up", model=MODEL, item_id="rs_1")
    )
    over = crossing(remembered={"a": (part,)})
    kept = translate(USER, assistant(use("a")), user(result("a")), over=over)
    assert kept["input"][1:3] == [item, call("a")]


@pytest.mark.parametrize(
    "thinking",
    [
        _thinking(provider="other"),
        _thinking(model="other"),
        _thinking(kind="sig"),
        {"type": "thinking", "thinking": "hm", "signature": "anthropic"},
    ],
    ids=["provider", "model", "kind", "native"],
)
@pytest.mark.pitfall("P100")
def test_p100_state_of_another_issuer_stays_behind(thinking: dict[str, Any]) -> None:
    """P100; the text is not turned into ordinary words either."""
    over = crossing()
    body = translate(USER, assistant(thinking, text("so"), use("a")), user(result("a")), over=over)
    assert [each["type"] for each in body["input"]] == [
        "message",
        "message",
        "function_call",
        "function_call_output",
    ]
    assert "hm" not in json.dumps(body)
    assert over.dropped == ["messages.content.thinking"]


@pytest.mark.pitfall("P101")
def test_p101_encrypted_reasoning_is_asked_for_where_there_is_any() -> None:
    assert translate()["include"] == ["reasoning.encrypted_content"]
    assert "include" not in translate(model="gpt-4.1")


@pytest.mark.parametrize(
    ("fields", "reasoning"),
    [
        ({}, None),
        ({"thinking": {"type": "disabled"}}, {"effort": "none"}),
        (
            {"thinking": {"type": "enabled", "budget_tokens": 10_000}},
            {"effort": "medium", "summary": "auto"},
        ),
        ({"thinking": {"type": "adaptive"}}, {"summary": "auto"}),
        (
            {
                "thinking": {"type": "adaptive", "display": "omitted"},
                "output_config": {"effort": "high"},
            },
            {"effort": "high"},
        ),
    ],
)
def test_thinking_becomes_effort_and_summary(
    fields: dict[str, Any], reasoning: dict[str, Any] | None
) -> None:
    assert translate(max_tokens=32_000, **fields).get("reasoning") == reasoning


def test_structured_output_is_flat() -> None:
    config = {"format": {"type": "json_schema", "schema": STRICT}}
    assert translate(output_config=config)["text"] == {
        "format": {"type": "json_schema", "name": "response", "schema": STRICT, "strict": True}
    }
    body = from_chat(response_format={"type": "json_object"}, verbosity="low")
    assert body["text"] == {"format": {"type": "json_object"}, "verbosity": "low"}


def test_every_loss_is_named_as_the_client_wrote_it() -> None:
    over = crossing("llama")
    translate(
        user({**text("hi"), "cache_control": {"type": "ephemeral"}}),
        stop_sequences=["END"],
        top_k=5,
        over=over,
    )
    assert sorted(over.dropped) == ["cache_control", "top_k"]
    assert over.stops == ("END",)
    over = crossing()
    from_chat(seed=7, logit_bias={"1": 2}, over=over)
    assert sorted(over.dropped) == ["logit_bias", "seed"]


def test_sampling_metadata_user_and_tier() -> None:
    over = crossing("llama")
    body = from_chat(
        temperature=0.5,
        top_p=0.9,
        metadata={"a": "b"},
        user="u" * 65,
        service_tier="flex",
        prompt_cache_key="k",
        stream=True,
        over=over,
    )
    assert (body["temperature"], body["top_p"], body["metadata"]) == (0.5, 0.9, {"a": "b"})
    assert body["user"] == hashlib.sha256(b"u" * 65).hexdigest()
    assert (body["service_tier"], body["prompt_cache_key"]) == ("flex", "k")
    assert body["stream"] is True
    assert over.dropped == []


def test_a_vendors_file_is_refused() -> None:
    with pytest.raises(BadRequest) as caught:
        translate(user({"type": "image", "source": {"type": "file", "file_id": "file_1"}}))
    assert caught.value.param == "input"


_WORDS = st.text(st.characters(codec="utf-8"), max_size=8)
_ID = st.sampled_from(["a", "b", "functions.x:0", "", "t" * 80])
_BLOCKS = {
    "user": st.one_of(st.builds(text, _WORDS), st.builds(result, _ID, _WORDS)),
    "assistant": st.one_of(
        st.builds(text, _WORDS), st.builds(use, _ID), st.sampled_from([_thinking(), _thinking("x")])
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
    turns = [*turns, user(text("the last word"))]
    said = json.dumps(translate(*turns)["input"], ensure_ascii=False)
    assert "the last word" in said
    for turn in turns:
        for block in turn["content"]:
            if block["type"] == "text" and block["text"]:
                assert json.dumps(block["text"], ensure_ascii=False)[1:-1] in said


@pytest.mark.parametrize(("tier", "told"), [("fast", "priority"), ("flex", "flex")])
def test_a_tier_is_asked_for_in_openais_word(tier: str, told: str) -> None:
    assert translate(service_tier=tier)["service_tier"] == told
