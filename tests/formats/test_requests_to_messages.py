"""A Chat client's request as a Messages provider gets it."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.strict_messages import problems

from plexus_proxy.errors import BadRequest
from plexus_proxy.formats import envelope
from plexus_proxy.formats.chat.request_reader import read_request
from plexus_proxy.formats.conversation import Crossing, Reasoning
from plexus_proxy.formats.events import Opaque
from plexus_proxy.formats.messages.request_writer import write_request

NEWEST = "claude-opus-9"
BUDGET = "claude-sonnet-4-20250514"
PNG = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJg"
    "gg=="
)
SUMMARIZED = {"type": "adaptive", "display": "summarized"}
OMITTED = {"type": "adaptive", "display": "omitted"}
NO_AUDIO = {"data": "", "format": "wav"}
USER = {"role": "user", "content": "hi"}
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}


def crossing(model: str = NEWEST, **fields: Any) -> Crossing:
    return Crossing(provider="claude", model=model, response_id="r", created_s=1, **fields)


def translate(
    *messages: dict[str, Any], model: str = NEWEST, over: Crossing | None = None, **fields: Any
) -> dict[str, Any]:
    """The provider's body, which the strict validator has found legal."""
    sent = {"model": "alias", "messages": list(messages or (USER,)), **fields}
    over = over or crossing(model)
    body = json.loads(write_request(read_request(json.dumps(sent).encode()), over))
    signatures = frozenset({"native", "native2", "sealed"})
    newest = over.model in (NEWEST, "claude-opus-4-6")
    assert problems(body, version=over.api_version, newest=newest, signatures=signatures) == []
    return body


def lost(*messages: dict[str, Any], model: str = NEWEST, **fields: Any) -> list[str]:
    over = crossing(model)
    translate(*messages, over=over, **fields)
    return over.dropped


def refused(*messages: dict[str, Any], model: str = NEWEST, **fields: Any) -> BadRequest:
    with pytest.raises(BadRequest) as caught:
        translate(*messages, model=model, **fields)
    return caught.value


def call(tool_id: str, arguments: str = "{}", name: str = "f") -> dict[str, Any]:
    return {"id": tool_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def calls(*each: dict[str, Any], content: Any = None, **fields: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": content, "tool_calls": list(each), **fields}


def result(tool_id: str, content: Any = "ok") -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": tool_id, "content": content}


@pytest.mark.pitfall("P55")
def test_p55_results_of_one_turn_share_a_message_and_come_first() -> None:
    body = translate(
        USER,
        calls(call("a"), call("b"), call("c")),
        result("a"),
        result("b"),
        result("c"),
        {"role": "user", "content": "go on"},
        tools=[TOOL],
    )
    assert [message["role"] for message in body["messages"]] == ["user", "assistant", "user"]
    kinds = [block["type"] for block in body["messages"][2]["content"]]
    assert kinds == ["tool_result", "tool_result", "tool_result", "text"]


def test_results_follow_the_order_of_the_calls() -> None:
    body = translate(
        USER, calls(call("A"), call("B")), result("B"), result("A"), USER, tools=[TOOL]
    )
    blocks = body["messages"][2]["content"]
    assert [block.get("tool_use_id") for block in blocks] == ["A", "B", None]


@pytest.mark.pitfall("P56")
def test_p56_a_call_without_a_result_gets_an_error_result() -> None:
    body = translate(USER, calls(call("a"), call("b")), result("b"), tools=[TOOL])
    assert body["messages"][2]["content"][0] == {
        "type": "tool_result",
        "tool_use_id": "a",
        "content": "Tool execution was interrupted",
        "is_error": True,
    }


@pytest.mark.pitfall("P56")
def test_p56_a_call_at_the_very_end_gets_an_error_result() -> None:
    body = translate(USER, calls(call("a")), tools=[TOOL])
    assert body["messages"][-1]["content"][0]["is_error"] is True


@pytest.mark.pitfall("P56")
def test_p56_a_result_without_a_call_becomes_text() -> None:
    body = translate(result("gone", "42"), USER)
    texts = [block["text"] for block in body["messages"][0]["content"]]
    assert texts == ["[Result of an earlier tool call: gone]", "42", "hi"]


@pytest.mark.pitfall("P56")
def test_p56_a_second_result_for_one_call_becomes_text() -> None:
    body = translate(USER, calls(call("a")), result("a", "1"), result("a", "2"), tools=[TOOL])
    kinds = [block["type"] for block in body["messages"][2]["content"]]
    assert kinds == ["tool_result", "text", "text"]


@pytest.mark.pitfall("P57", "B53")
def test_p57_illegal_ids_are_mapped_alike_on_call_and_result() -> None:
    body = translate(
        USER,
        calls(call("functions.Bash:0"), call("call|x"), call("call_abc"), call("call.x")),
        *(result(each) for each in ("functions.Bash:0", "call|x", "call_abc", "call.x")),
        tools=[TOOL],
    )
    used = [block["id"] for block in body["messages"][1]["content"]]
    assert used == [block["tool_use_id"] for block in body["messages"][2]["content"]]
    assert used[0] == "functions_Bash_0_a97d1507"
    assert used[2] == "call_abc"
    assert len(set(used)) == 4


def test_long_legal_ids_are_kept() -> None:
    body = translate(USER, calls(call("x" * 80)), result("x" * 80), tools=[TOOL])
    assert body["messages"][1]["content"][0]["id"] == "x" * 80


def test_ids_that_start_again_each_turn_are_made_unique() -> None:
    body = translate(
        USER, calls(call("call_0")), result("call_0"), calls(call("call_0")), result("call_0"),
        tools=[TOOL],
    )  # fmt: skip
    assert body["messages"][1]["content"][0]["id"] == "call_0"
    second = body["messages"][3]["content"][0]["id"]
    assert second != "call_0"
    assert body["messages"][4]["content"][0]["tool_use_id"] == second


def test_missing_ids_are_minted_and_matched_by_position() -> None:
    body = translate(
        USER, calls(call(""), call("")), result("", "one"), result("", "two"), tools=[TOOL]
    )
    used = [block["id"] for block in body["messages"][1]["content"]]
    results = [(b["tool_use_id"], b["content"]) for b in body["messages"][2]["content"]]
    assert results == [(used[0], "one"), (used[1], "two")]


@pytest.mark.pitfall("P58")
def test_p58_blank_text_is_left_out_and_its_marker_moves() -> None:
    marker = {"type": "ephemeral"}
    body = translate(
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "keep"},
                {"type": "text", "text": " \n", "cache_control": marker},
            ],
        },
        {"role": "assistant", "content": ""},
        {"role": "user", "content": "\t"},
        {"role": "user", "content": "end"},
    )
    assert body["messages"] == [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "keep", "cache_control": marker},
                {"type": "text", "text": "end"},
            ],
        }
    ]


def test_an_empty_result_has_no_content() -> None:
    body = translate(USER, calls(call("a")), result("a", ""), tools=[TOOL])
    assert body["messages"][2]["content"] == [{"type": "tool_result", "tool_use_id": "a"}]


@pytest.mark.parametrize(
    ("model", "tokens"), [("claude-3-opus-20240229", 4096), (BUDGET, 8192), (NEWEST, 32000)]
)
@pytest.mark.pitfall("P59")
def test_p59_max_tokens_has_a_default(model: str, tokens: int) -> None:
    assert translate(model=model)["max_tokens"] == tokens


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_the_clients_limit_is_kept(name: str) -> None:
    assert translate(**{name: 77})["max_tokens"] == 77


@pytest.mark.parametrize("effort", ["minimal", "low", "medium", "high", "xhigh", "max"])
@pytest.mark.parametrize("limit", [None, 500, 1025, 5000, 100_000])
@pytest.mark.pitfall("P59")
def test_p59_the_budget_stays_below_max_tokens(effort: str, limit: int | None) -> None:
    fields = {} if limit is None else {"max_completion_tokens": limit}
    body = translate(model=BUDGET, reasoning_effort=effort, **fields)
    assert body["thinking"]["type"] == ("disabled" if limit == 500 else "enabled")


@pytest.mark.pitfall("P60")
def test_p60_sampling_is_kept_where_it_is_taken() -> None:
    body = translate(model="claude-3-5-sonnet-20241022", temperature=1.7, top_p=0.5, top_k=3)
    assert (body["temperature"], body["top_p"], body["top_k"]) == (1.0, 0.5, 3)


@pytest.mark.pitfall("P60")
def test_p60_models_that_take_one_of_both_get_the_temperature() -> None:
    body = translate(model="claude-sonnet-4-5-20250929", temperature=0.2, top_p=0.5)
    assert body["temperature"] == 0.2
    assert "top_p" not in body


@pytest.mark.pitfall("P60")
def test_p60_newest_models_get_no_sampling() -> None:
    assert lost(temperature=0.2, top_p=0.5, top_k=3) == ["temperature", "top_p", "top_k"]


@pytest.mark.pitfall("P60")
def test_p60_the_newest_api_version_gets_no_sampling() -> None:
    over = crossing(BUDGET, api_version="2026-10-21")
    translate(temperature=1, top_p=0.9, over=over)
    assert over.dropped == ["top_p"]


@pytest.mark.pitfall("P60", "B27")
def test_p60_nothing_is_injected() -> None:
    assert translate(model=BUDGET).keys() == {"model", "max_tokens", "messages"}


@pytest.mark.parametrize(
    ("model", "kind"),
    [
        ("claude-3-7-sonnet-20250219", "enabled"),
        ("claude-opus-4-20250514", "enabled"),
        ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", "enabled"),
        ("anthropic/claude-opus-4.5", "enabled"),
        ("claude-opus-4-6", "adaptive"),
        ("claude-opus-4.8", "adaptive"),
        ("claude-opus-4-12", "adaptive"),
        ("claude-sonnet-5", "adaptive"),
        ("claude-newfamily-7-20300101", "adaptive"),
        ("claude-sample-1", "adaptive"),
        ("kimi-k3", "enabled"),
    ],
)
@pytest.mark.pitfall("P61")
def test_p61_newer_models_think_adaptively(model: str, kind: str) -> None:
    sent = json.dumps({"model": "a", "messages": [USER], "reasoning_effort": "high"}).encode()
    body = json.loads(write_request(read_request(sent), crossing(model)))
    assert body["thinking"]["type"] == kind
    assert ("budget_tokens" in body["thinking"]) == (kind == "enabled")


def test_models_before_thinking_lose_the_effort() -> None:
    assert lost(model="claude-3-5-haiku-20241022", reasoning_effort="high") == ["reasoning_effort"]


@pytest.mark.parametrize(
    ("fields", "thinking", "effort"),
    [
        ({"reasoning_effort": "none"}, {"type": "disabled"}, None),
        ({"reasoning_effort": "minimal"}, {"type": "adaptive", "display": "summarized"}, "low"),
        ({"reasoning_effort": "xhigh"}, {"type": "adaptive", "display": "summarized"}, "xhigh"),
        ({"reasoning": {"max_tokens": 9000}}, SUMMARIZED, "medium"),
        ({"reasoning": {"enabled": False}}, {"type": "disabled"}, None),
        ({"thinking": {"type": "disabled"}}, {"type": "disabled"}, None),
        ({"reasoning": {"effort": "low", "exclude": True}}, OMITTED, "low"),
    ],
)  # fmt: skip
def test_every_way_to_say_effort_is_understood(
    fields: dict[str, Any], thinking: dict[str, Any], effort: str | None
) -> None:
    body = translate(**fields)
    assert body["thinking"] == thinking
    assert body.get("output_config", {}).get("effort") == effort


def test_an_effort_a_model_lacks_becomes_the_nearest() -> None:
    body = translate(model="claude-opus-4-6", reasoning_effort="xhigh")
    assert body["output_config"] == {"effort": "high"}


@pytest.mark.parametrize("model", [BUDGET, NEWEST])
@pytest.mark.pitfall("P62")
def test_p62_thinking_the_client_asked_for_beats_a_forced_tool(model: str) -> None:
    over = crossing(model)
    body = translate(over=over, reasoning_effort="low", tools=[TOOL], tool_choice="required")
    assert body["tool_choice"] == {"type": "auto"}
    assert "tool_choice" in over.dropped


@pytest.mark.pitfall("P62")
def test_p62_a_forced_tool_beats_thinking_by_default() -> None:
    body = translate(tools=[TOOL], tool_choice="required")
    assert (body["tool_choice"], body["thinking"]) == ({"type": "any"}, {"type": "disabled"})


FOREIGN = envelope.pack(Opaque("sig", "native", "other-provider", NEWEST))
OTHER_MODEL = envelope.pack(Opaque("sig", "native", "claude", "claude-opus-8"))
OWN = envelope.pack(Opaque("sig", "native", "claude", NEWEST))


@pytest.mark.parametrize(
    "signature", ["raw", FOREIGN, OTHER_MODEL, "gw1.junk", "skip_thought_signature_validator", None]
)
@pytest.mark.pitfall("P63")
def test_p63_foreign_thinking_never_arrives(signature: str | None) -> None:
    detail = {"type": "reasoning.text", "text": "hm", "signature": signature}
    over = crossing()
    body = translate(
        USER,
        {"role": "assistant", "content": "x", "reasoning_content": "hm"}
        | {"reasoning_details": [detail]},
        USER,
        over=over,
    )  # fmt: skip
    assert body["messages"][1] == {"role": "assistant", "content": "x"}
    assert over.dropped == ["messages.reasoning_content"]


@pytest.mark.pitfall("P64")
def test_p64_own_thinking_comes_back_byte_for_byte() -> None:
    text = "  line\r\n\tind\u00e9nt \u2028 "
    details = [
        {"type": "reasoning.text", "index": 0, "text": text, "signature": OWN},
        {"type": "reasoning.encrypted", "index": 1,
         "data": envelope.pack(Opaque("redacted", "sealed", "claude", NEWEST))},
    ]  # fmt: skip
    body = translate(
        USER, calls(call("a"), content="t", reasoning_details=details), result("a"), tools=[TOOL]
    )
    assert body["messages"][1]["content"][:2] == [
        {"type": "thinking", "thinking": text, "signature": "native"},
        {"type": "redacted_thinking", "data": "sealed"},
    ]


@pytest.mark.pitfall("P65", "B47", "B59")
def test_p65_thinking_stands_where_it_stood() -> None:
    remembered = (
        Reasoning(text="first", opaque=Opaque("sig", "native", "claude", NEWEST)),
        Reasoning(text="second", opaque=Opaque("sig", "native2", "claude", NEWEST), text_offset=8),
    )
    over = crossing(remembered={"a": remembered})
    body = translate(
        USER, calls(call("a"), content="Checking Oslo."), result("a"), tools=[TOOL], over=over
    )
    blocks = body["messages"][1]["content"]
    assert [block.get("thinking") or block.get("text") for block in blocks] == [
        "first", "Checking", "second", " Oslo.", None,
    ]  # fmt: skip
    assert over.dropped == []


@pytest.mark.pitfall("P65")
def test_p65_echoed_thinking_stands_where_it_stood() -> None:
    details = [
        {"type": "reasoning.text", "text": "first", "signature": OWN},
        {"type": "reasoning.text", "text": "second", "signature": OWN, "text_offset": 3},
    ]
    body = translate(
        USER, calls(call("a"), content="abc", reasoning_details=details), result("a"), tools=[TOOL]
    )
    kinds = [block["type"] for block in body["messages"][1]["content"]]
    assert kinds == ["thinking", "text", "thinking", "tool_use"]


@pytest.mark.pitfall("P20")
def test_p20_thinking_without_text_comes_back() -> None:
    detail = {"type": "reasoning.text", "signature": OWN}
    body = translate(USER, calls(call("a"), reasoning_details=[detail]), result("a"), tools=[TOOL])
    first = body["messages"][1]["content"][0]
    assert first == {"type": "thinking", "thinking": "", "signature": "native"}


def test_a_running_loop_without_its_thinking_goes_on_without_on_budget_models() -> None:
    over = crossing(BUDGET)
    messages = [USER, calls(call("a")), result("a")]
    body = translate(*messages, over=over, tools=[TOOL], reasoning_effort="high")
    assert body["thinking"] == {"type": "disabled"}
    assert over.dropped == ["reasoning_effort"]


def test_a_running_loop_without_its_thinking_changes_nothing_on_adaptive_models() -> None:
    messages = [USER, calls(call("a")), result("a")]
    body = translate(*messages, tools=[TOOL], reasoning_effort="high")
    assert body["thinking"]["type"] == "adaptive"


@pytest.mark.parametrize(
    ("arguments", "sent"),
    [
        ("", {}),
        ("  ", {}),
        ('{"a": 1}', {"a": 1}),
        ("[1]", {"value": [1]}),
        ('"x"', {"value": "x"}),
        ('{"a', {"__invalid_json": '{"a'}),
    ],
)
@pytest.mark.pitfall("P66", "B49")
def test_p66_arguments_become_an_object(arguments: str, sent: Any) -> None:
    body = translate(USER, calls(call("a", arguments)), result("a"), tools=[TOOL])
    assert body["messages"][1]["content"][0]["input"] == sent


@pytest.mark.pitfall("P116")
def test_p116_large_integers_survive() -> None:
    sent = calls(call("a", '{"id":9007199254740993,"z":1.10,"a":2}'))
    request = {"model": "m", "messages": [USER, sent, result("a")], "tools": [TOOL]}
    body = write_request(read_request(json.dumps(request).encode()), crossing())
    assert b'"input":{"id":9007199254740993,"z":1.10,"a":2}' in body


@pytest.mark.pitfall("P67")
def test_p67_unions_at_the_root_become_one_object() -> None:
    schema = {
        "anyOf": [
            {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a", "k"]},
            {"type": "object", "properties": {"b": {"type": "string"}}, "required": ["k"]},
        ]
    }
    tool = {"type": "function", "function": {"name": "f", "parameters": schema}}
    assert translate(tools=[tool])["tools"][0]["input_schema"] == {
        "type": "object",
        "properties": {"a": {"type": "string"}, "b": {"type": "string"}},
        "required": ["k"],
    }


@pytest.mark.parametrize(
    "schema",
    [
        {},
        None,
        True,
        {"properties": {}},
        {"type": "string"},
        {"type": ["object", "null"]},
        {"$ref": "#/$defs/A", "$defs": {"A": {"anyOf": [{"$ref": "#/$defs/A"}]}}},
        {"anyOf": [{"type": "string"}, {"type": "null"}]},
        {"type": "object", "allOf": [{"required": ["x"]}, 3], "properties": 1},
    ],
)
@pytest.mark.pitfall("P67")
def test_p67_any_schema_gets_an_object_root(schema: Any) -> None:
    translate(tools=[{"type": "function", "function": {"name": "f", "parameters": schema}}])


@pytest.mark.pitfall("B51")
def test_a_tool_without_parameters_gets_an_empty_object() -> None:
    tool = {"type": "function", "function": {"name": "f"}}
    assert translate(tools=[tool])["tools"][0]["input_schema"] == {
        "type": "object",
        "properties": {},
    }


@pytest.mark.pitfall("P68")
def test_p68_tool_choice_goes_with_the_tools() -> None:
    body = translate(tools=[], tool_choice="auto", parallel_tool_calls=False)
    assert not body.keys() & {"tools", "tool_choice"}


@pytest.mark.pitfall("P69")
def test_p69_at_most_four_cache_markers_are_kept() -> None:
    parts = [
        {"type": "text", "text": str(n), "prompt_cache_breakpoint": {"mode": "explicit"}}
        for n in range(7)
    ]
    body = translate({"role": "user", "content": parts})
    marked = [block["text"] for block in body["messages"][0]["content"] if "cache_control" in block]
    assert marked == ["3", "4", "5", "6"]


def test_longer_lifetimes_do_not_follow_shorter_ones() -> None:
    parts = [
        {"type": "text", "text": str(ttl), "cache_control": {"type": "ephemeral", "ttl": ttl}}
        for ttl in ("1h", "5m", "1h")
    ]
    body = translate({"role": "user", "content": parts})
    ttls = [block["cache_control"].get("ttl") for block in body["messages"][0]["content"]]
    assert ttls == ["1h", "5m", None]


def image(url: str, **fields: Any) -> dict[str, Any]:
    return {
        "role": "user",
        "content": [{"type": "image_url", "image_url": {"url": url, **fields}}],
    }


@pytest.mark.parametrize(
    "url",
    [
        f"data:image/png;base64,{PNG}",
        f"data:image/jpg;base64,{PNG}",
        f"data:image/png;charset=utf-8;base64,{PNG}",
        f"data:;base64,{PNG}",
        f"DATA:image/bmp;base64,{PNG[:20]}\n{PNG[20:]}",
    ],
)
@pytest.mark.pitfall("P71", "B48")
def test_p71_data_urls_become_base64_sources(url: str) -> None:
    block = translate(image(url))["messages"][0]["content"][0]
    assert block["source"] == {"type": "base64", "media_type": "image/png", "data": PNG}


@pytest.mark.pitfall("P71")
def test_p71_jpg_is_spelled_jpeg() -> None:
    data = base64.b64encode(b"\xff\xd8\xff" + bytes(30)).decode()
    block = translate(image(f"data:image/jpg;base64,{data}"))["messages"][0]["content"][0]
    assert block["source"]["media_type"] == "image/jpeg"


@pytest.mark.pitfall("P71", "B48")
def test_p71_http_urls_stay_urls() -> None:
    block = translate(image("https://x/a.jpg"))["messages"][0]["content"][0]
    assert block["source"] == {"type": "url", "url": "https://x/a.jpg"}


def test_image_detail_is_lost() -> None:
    assert lost(image("https://x/a.jpg", detail="low")) == ["messages.content.image_url.detail"]


@pytest.mark.parametrize("url", ["file:///etc/passwd", "a.jpg", "data:image/bmp;base64,Qk0="])
def test_images_the_provider_does_not_take_are_refused(url: str) -> None:
    assert refused(image(url)).status == 400


def file(**fields: Any) -> dict[str, Any]:
    return {"role": "user", "content": [{"type": "file", "file": fields}]}


def test_pdfs_become_documents() -> None:
    body = translate(file(filename="n.pdf", file_data="data:application/pdf;base64,JVBERi0x"))
    assert body["messages"][0]["content"] == [
        {
            "type": "document",
            "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0x"},
            "title": "n.pdf",
        }
    ]


def test_text_files_become_text_documents() -> None:
    data = base64.b64encode("grün".encode()).decode()
    body = translate(file(filename="a.txt", file_data=f"data:text/plain;base64,{data}"))
    source = body["messages"][0]["content"][0]["source"]
    assert source == {"type": "text", "media_type": "text/plain", "data": "grün"}


@pytest.mark.parametrize(
    "message",
    [
        file(file_id="file-1"),
        file(filename="x.docx", file_data="data:application/msword;base64,AAAA"),
        {"role": "user", "content": [{"type": "input_audio", "input_audio": NO_AUDIO}]},
    ],
)  # fmt: skip
def test_content_that_cannot_be_carried_is_refused(message: dict[str, Any]) -> None:
    assert refused(message).param == "messages"


@pytest.mark.pitfall("P72")
def test_p72_later_system_messages_keep_their_place() -> None:
    body = translate(
        {"role": "system", "content": "one"},
        {"role": "developer", "content": [{"type": "text", "text": "two"}]},
        USER,
        calls(call("a")),
        {"role": "system", "content": "three"},
        result("a"),
        tools=[TOOL],
    )
    assert [block["text"] for block in body["system"]] == ["one", "two"]
    last = body["messages"][2]["content"]
    assert [block["type"] for block in last] == ["tool_result", "text"]
    assert last[1]["text"] == "<system>three</system>"


@pytest.mark.pitfall("B48")
def test_system_blocks_stay_blocks_with_their_markers() -> None:
    marker = {"type": "ephemeral"}
    blocks = [
        {"type": "text", "text": "one", "cache_control": marker},
        {"type": "text", "text": "two"},
    ]
    assert translate({"role": "system", "content": blocks}, USER)["system"] == blocks


def test_nothing_but_system_text_becomes_the_question() -> None:
    body = translate({"role": "system", "content": "do it"})
    assert body["messages"] == [{"role": "user", "content": "do it"}]
    assert "system" not in body


def test_a_conversation_that_begins_with_the_assistant_gets_a_first_user_turn() -> None:
    body = translate({"role": "assistant", "content": "hello"}, USER)
    assert [message["role"] for message in body["messages"]] == ["user", "assistant", "user"]


def test_prefill_is_passed_on_where_it_is_legal() -> None:
    body = translate(USER, {"role": "assistant", "content": "It is \n"}, model=BUDGET)
    assert body["messages"][-1] == {"role": "assistant", "content": "It is"}


def test_prefill_is_refused_where_it_is_not() -> None:
    refused(USER, {"role": "assistant", "content": "It is"})
    refused(USER, {"role": "assistant", "content": "x"}, model=BUDGET, reasoning_effort="high")


def test_a_conversation_without_content_is_refused() -> None:
    refused({"role": "user", "content": " "})


@pytest.mark.pitfall("B59")
def test_the_assistants_content_is_a_text_or_a_list() -> None:
    said = [
        translate(USER, {"role": "assistant", "content": content}, USER)["messages"][1]
        for content in ("x", [{"type": "text", "text": "x"}])
    ]
    assert said == [{"role": "assistant", "content": "x"}] * 2


def test_a_refusal_in_the_history_is_text() -> None:
    body = translate(USER, {"role": "assistant", "content": None, "refusal": "No."}, USER)
    assert body["messages"][1] == {"role": "assistant", "content": "No."}


@pytest.mark.parametrize(
    ("choice", "sent"),
    [
        ("auto", {"type": "auto"}),
        ("none", {"type": "none"}),
        ("required", {"type": "any"}),
        ({"type": "function", "function": {"name": "f"}}, {"type": "tool", "name": "f"}),
    ],
)
def test_tool_choice_is_translated(choice: Any, sent: dict[str, Any]) -> None:
    body = translate(model=BUDGET, tools=[TOOL], tool_choice=choice)
    assert body["tool_choice"] == sent


def test_allowed_tools_narrow_the_list() -> None:
    tools = [
        {"type": "function", "function": {"name": name, "parameters": {"type": "object"}}}
        for name in "fgh"
    ]
    allowed = [{"type": "function", "function": {"name": name}} for name in "hf"]
    choice = {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": allowed}}
    body = translate(model=BUDGET, tools=tools, tool_choice=choice)
    assert [tool["name"] for tool in body["tools"]] == ["f", "h"]
    assert body["tool_choice"] == {"type": "any"}


def test_serial_calls_are_asked_for_with_a_choice() -> None:
    body = translate(model=BUDGET, tools=[TOOL], parallel_tool_calls=False)
    assert body["tool_choice"] == {"type": "auto", "disable_parallel_tool_use": True}


def test_an_unknown_forced_tool_is_refused() -> None:
    choice = {"type": "function", "function": {"name": "ghost"}}
    assert refused(tools=[TOOL], tool_choice=choice).param == "tool_choice"


def test_tools_are_declared_again_when_only_the_history_has_them() -> None:
    body = translate(USER, calls(call("a", name="old")), result("a"))
    assert [tool["name"] for tool in body["tools"]] == ["old"]
    assert body["tool_choice"] == {"type": "none"}


@pytest.mark.pitfall("P113")
def test_p113_long_and_illegal_tool_names_are_mapped_everywhere() -> None:
    name = "mcp.server:" + "x" * 150
    tool = {"type": "function", "function": {"name": name, "parameters": {"type": "object"}}}
    over = crossing(BUDGET)
    body = translate(
        USER, calls(call("a", name=name)), result("a"), over=over, tools=[tool],
        tool_choice={"type": "function", "function": {"name": name}},
    )  # fmt: skip
    wire = body["tools"][0]["name"]
    assert len(wire) == 128
    assert over.tool_names == {wire: name}
    assert body["messages"][1]["content"][0]["name"] == wire
    assert body["tool_choice"]["name"] == wire


def test_repeated_tools_are_declared_once() -> None:
    over = crossing()
    assert len(translate(over=over, tools=[TOOL, TOOL])["tools"]) == 1
    assert over.dropped == ["tools"]


def test_custom_tools_become_functions_of_one_string() -> None:
    custom = {"name": "sql", "description": "d", "format": {"type": "grammar"}}
    over = crossing(BUDGET)
    used = {"id": "a", "type": "custom", "custom": {"name": "sql", "input": 'x "y"'}}
    body = translate(
        USER, calls(used), result("a"), over=over, tools=[{"type": "custom", "custom": custom}],
        tool_choice={"type": "custom", "custom": {"name": "sql"}},
    )  # fmt: skip
    assert body["tools"][0]["input_schema"]["required"] == ["input"]
    assert '{"type": "grammar"}' in body["tools"][0]["description"]
    assert body["messages"][1]["content"][0]["input"] == {"input": 'x "y"'}
    assert body["tool_choice"] == {"type": "tool", "name": "sql"}
    assert over.custom_tools == {"sql"}
    assert over.dropped == ["tools.custom.format"]


@pytest.mark.pitfall("P111")
def test_p111_a_server_tool_is_dropped_beside_others() -> None:
    over = crossing()
    body = translate(over=over, tools=[{"type": "web_search"}, TOOL])
    assert [tool["name"] for tool in body["tools"]] == ["f"]
    assert over.dropped == ["tools"]


@pytest.mark.pitfall("P111")
def test_p111_a_lone_or_forced_server_tool_is_refused() -> None:
    assert refused(tools=[{"type": "web_search"}]).param == "tools"
    refused(tools=[{"type": "web_search"}, TOOL], tool_choice={"type": "web_search"})


def test_strict_tools_stay_strict_where_that_is_known() -> None:
    schema = {"type": "object", "properties": {}, "additionalProperties": False}
    tool = {"type": "function", "function": {"name": "f", "strict": True, "parameters": schema}}
    assert translate(tools=[tool])["tools"][0]["strict"] is True
    assert lost(tools=[tool], model=BUDGET) == ["tools.function.strict"]


def test_the_deprecated_function_form_becomes_tools() -> None:
    over = crossing(BUDGET)
    body = translate(
        USER,
        {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}},
        {"role": "function", "name": "f", "content": "1"},
        over=over,
        functions=[{"name": "f", "parameters": {"type": "object"}}],
        function_call={"name": "f"},
    )
    assert body["messages"][1]["content"][0]["id"] == "call_fn_1"
    assert body["messages"][2]["content"][0]["tool_use_id"] == "call_fn_1"
    assert body["tool_choice"] == {"type": "tool", "name": "f"}
    assert over.legacy_functions


def test_a_schema_for_the_answer_is_enforced() -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer", "minimum": 1}}}
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    sent = translate(response_format=wanted)["output_config"]["format"]
    assert sent == {
        "type": "json_schema",
        "schema": {
            "type": "object",
            "properties": {"n": {"type": "integer", "description": "(minimum: 1)"}},
            "additionalProperties": False,
        },
    }


@pytest.mark.parametrize("model", [BUDGET, NEWEST])
def test_json_without_a_schema_is_asked_for_in_words(model: str) -> None:
    over = crossing(model)
    body = translate(over=over, response_format={"type": "json_object"})
    assert body["system"] == "Answer with one JSON object and nothing else."
    assert over.dropped == ["response_format"]


ANSWER: dict[str, Any] = {"type": "object", "properties": {"n": {"type": "integer"}}}
WANTED = {"type": "json_schema", "json_schema": {"name": "x", "schema": ANSWER}}


def test_models_that_enforce_no_schema_answer_by_a_forced_tool() -> None:
    over = crossing(BUDGET)
    body = translate(over=over, response_format=WANTED)
    (tool,) = body["tools"]
    assert (tool["name"], tool["input_schema"]) == ("structured_output", ANSWER)
    assert body["tool_choice"] == {
        "type": "tool",
        "name": "structured_output",
        "disable_parallel_tool_use": True,
    }
    assert "system" not in body
    assert (over.answer_tool, over.dropped) == (True, [])


@pytest.mark.parametrize(
    "why",
    [
        {"tools": [{"type": "function", "function": {"name": "f", "parameters": ANSWER}}]},
        {"reasoning_effort": "high"},
        {
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "x", "schema": {"type": "array"}},
            }
        },
    ],
    ids=["tools", "thinking", "no object"],
)
def test_where_no_tool_can_be_forced_the_schema_is_told(why: dict[str, Any]) -> None:
    over = crossing(BUDGET)
    sent = {"response_format": WANTED, **why}
    body = translate({"role": "system", "content": "s"}, USER, over=over, max_tokens=9000, **sent)
    assert body["system"][1]["text"].startswith("Answer with JSON that matches this JSON Schema")
    assert (over.answer_tool, over.dropped) == (False, ["response_format"])


def test_stop_user_and_tier_are_translated() -> None:
    body = translate(stop="END", user="u", service_tier="priority", stream=True)
    assert body["stop_sequences"] == ["END"]
    assert body["metadata"] == {"user_id": "u"}
    assert body["service_tier"] == "auto"
    assert body["stream"] is True


def test_blank_stops_are_watched_for() -> None:
    over = crossing()
    assert translate(over=over, stop=["\n\n", "x"])["stop_sequences"] == ["x"]
    assert (over.stops, over.dropped) == (("\n\n",), [])


def test_what_the_provider_cannot_hear_is_named() -> None:
    assert lost(
        {"role": "user", "content": "x", "name": "bob"},
        seed=1,
        logit_bias={"1": 2},
        presence_penalty=0.5,
        frequency_penalty=0,
        logprobs=False,
        verbosity="low",
        metadata={"a": "b"},
        prompt_cache_key="k",
        service_tier="flex",
        n=1,
    ) == [
        "logit_bias",
        "messages.name",
        "verbosity",
        "prompt_cache_key",
        "metadata",
        "seed",
        "presence_penalty",
        "service_tier",
    ]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"n": 2}, "n"),
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"tool_choice": "any"}, "tool_choice"),
        ({"temperature": "hot"}, "temperature"),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": 1}]}]},
         "messages[0].content[0].text"),
        ({"messages": [{"role": "user", "content": [{"type": "video_url"}]}]},
         "messages[0].content[0].type"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "system", "content": [{"type": "image_url", "image_url": "https://x"}]}]},
         "messages[0].content"),
        ({"messages": []}, "messages"),
        ({"tools": [{"type": "function"}]}, "tools[0].function"),
        ({"response_format": {"type": "xml"}}, "response_format.type"),
    ],
)  # fmt: skip
def test_wrong_values_are_refused_by_path(fields: dict[str, Any], param: str) -> None:
    sent = {"model": "m", "messages": [USER], **fields}
    with pytest.raises(BadRequest) as caught:
        read_request(json.dumps(sent).encode())
    assert caught.value.param == param


def test_equal_requests_give_equal_bytes() -> None:
    sent = json.dumps(
        {
            "model": "m",
            "messages": [USER, calls(call("a.b", name="x y")), result("a.b")],
            "tools": [{"type": "function", "function": {"name": "x y"}}],
        }
    ).encode()
    assert write_request(read_request(sent), crossing()) == write_request(
        read_request(sent), crossing()
    )


# Any conversation at all becomes one that the API takes.

WORDS = st.sampled_from(["", " ", "hi", "a\nb ", "ü"])
IDS = st.sampled_from(["", "a", "b", "call_0", "functions.x:0", "a|b", "z" * 70])
NAMES = st.sampled_from(["f", "g.h", "n" * 140])
PARTS = st.one_of(
    st.builds(lambda text: {"type": "text", "text": text}, WORDS),
    st.builds(
        lambda text: {"type": "text", "text": text, "cache_control": {"type": "ephemeral"}}, WORDS
    ),
    st.just({"type": "image_url", "image_url": {"url": f"data:image/jpeg;base64,{PNG}"}}),
)
CONTENT = WORDS | st.lists(PARTS, max_size=3)
CALLS = st.builds(call, IDS, st.sampled_from(["", "{}", '{"x":1}', "[", "3"]), NAMES)
DETAILS = st.sampled_from(
    [
        {"type": "reasoning.text", "text": "t", "signature": OWN},
        {"type": "reasoning.text", "text": "t", "signature": FOREIGN, "text_offset": 2},
        {"type": "reasoning.text", "text": "u", "signature": OWN, "text_offset": 1},
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
FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "reasoning_effort": st.sampled_from(["none", "minimal", "high", "max"]),
        "max_tokens": st.sampled_from([1, 1024, 1025, 9000]),
        "temperature": st.sampled_from([0, 1, 2]),
        "top_p": st.sampled_from([0.1, 0.97]),
        "tools": st.lists(
            st.builds(lambda name: {"type": "function", "function": {"name": name}}, NAMES),
            max_size=3,
        ),
        "tool_choice": st.sampled_from(["auto", "none", "required"]),
        "parallel_tool_calls": st.booleans(),
        "stop": st.lists(WORDS, max_size=2),
        "response_format": st.just({"type": "json_object"}),
    },
)


@settings(max_examples=300, deadline=None)
@given(
    messages=st.lists(MESSAGES, min_size=1, max_size=7),
    fields=FIELDS,
    model=st.sampled_from([NEWEST, BUDGET]),
    version=st.sampled_from(["2023-06-01", "2026-10-21"]),
)
def test_every_translated_conversation_is_legal(
    messages: list[dict[str, Any]], fields: dict[str, Any], model: str, version: str
) -> None:
    over = crossing(model, api_version=version)
    refusal = ""
    try:
        translate(*messages, over=over, **fields)
    except BadRequest as error:
        refusal = error.message
    allowed = ("The conversation has no content", "This model does not continue")
    assert not refusal or refusal.startswith(allowed)
