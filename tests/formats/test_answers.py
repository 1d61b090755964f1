"""Whole answers, read from one format and written in the other."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from support import strict_chat, strict_messages
from support.golden import CHAT, MESSAGES, crossing
from support.golden import translated as translated_stream
from support.strict_streams import read_messages
from support.whole_answers import chat_problems, messages_problems
from support.wire import DONE, chunk, chunk_with

from plexus_proxy.errors import Garbled, Refused
from plexus_proxy.formats import envelope
from plexus_proxy.formats.anchors import unmarked
from plexus_proxy.formats.conversation import Crossing
from plexus_proxy.formats.events import Usage
from plexus_proxy.formats.format import Format, Observer
from plexus_proxy.formats.relay import kept_of

SAMPLES = Path(__file__).parent.parent / "samples"


def chat_to_messages(answer: dict[str, Any], over: Crossing | None = None) -> dict[str, Any]:
    """A Chat provider's answer as a Messages client gets it, found legal."""
    found = _translated(answer, CHAT, MESSAGES, over)
    assert messages_problems(found) == []
    return found


def messages_to_chat(answer: dict[str, Any], over: Crossing | None = None) -> dict[str, Any]:
    found = _translated(answer, MESSAGES, CHAT, over)
    assert chat_problems(found) == []
    return found


def _translated(
    answer: dict[str, Any], provider: Format, client: Format, over: Crossing | None
) -> dict[str, Any]:
    over = over or crossing()
    events = provider.read_response(json.dumps(answer).encode(), over)
    return json.loads(client.write_response(events, over))


def sample(name: str) -> dict[str, Any]:
    return json.loads((SAMPLES / f"{name}.response.json").read_text())


def chat(finish: str | None = "stop", **message: Any) -> dict[str, Any]:
    """A Chat answer with one choice."""
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "gpt",
        "choices": [
            {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}
        ],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
    }


def messages(*content: dict[str, Any], reason: str = "end_turn", **fields: Any) -> dict[str, Any]:
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude",
        "content": list(content),
        "stop_reason": reason,
        "stop_sequence": None,
        "usage": {"input_tokens": 10, "output_tokens": 5},
        **fields,
    }


def text(words: str, **fields: Any) -> dict[str, Any]:
    return {"type": "text", "text": words, **fields}


def use(tool_id: str, name: str = "f", **arguments: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": tool_id, "name": name, "input": arguments}


def call(tool_id: str, arguments: Any = "{}", name: str = "f") -> dict[str, Any]:
    return {"id": tool_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def message_of(answer: dict[str, Any]) -> dict[str, Any]:
    assert len(answer["choices"]) == 1
    return answer["choices"][0]["message"]


CHAT_SAMPLES = [
    path.name.removesuffix(".response.json")
    for path in sorted(SAMPLES.glob("chat.*.response.json"))
    if not any(word in path.name for word in ("error", "models"))
]
MESSAGES_SAMPLES = [
    path.name.removesuffix(".response.json")
    for path in sorted(SAMPLES.glob("messages.*.response.json"))
    if not any(word in path.name for word in ("error", "models", "count-tokens"))
]


@pytest.mark.parametrize("name", CHAT_SAMPLES)
def test_a_chat_sample_says_the_same_to_a_messages_client(name: str) -> None:
    source = sample(name)
    said = message_of(source)
    found = chat_to_messages(source)
    blocks = found["content"]
    assert "".join(each["text"] for each in blocks if each["type"] == "text") == (
        said.get("content") or ""
    )
    assert [
        (each["id"], each["name"], each["input"]) for each in blocks if each["type"] == "tool_use"
    ] == [
        (each["id"], each["function"]["name"], json.loads(each["function"]["arguments"]))
        for each in said.get("tool_calls") or []
    ]
    thinking = said.get("reasoning_content") or said.get("reasoning") or ""
    assert "".join(each.get("thinking", "") for each in blocks) == thinking
    usage = source["usage"]
    details = usage.get("prompt_tokens_details") or {}
    read, write = details.get("cached_tokens", 0), details.get("cache_write_tokens", 0)
    assert found["usage"]["input_tokens"] == usage["prompt_tokens"] - read - write
    assert found["usage"]["cache_read_input_tokens"] == read
    assert found["usage"]["cache_creation_input_tokens"] == write
    assert found["usage"]["output_tokens"] == usage["completion_tokens"]
    assert found["model"] == source["model"]
    assert found["stop_reason"] == ("tool_use" if said.get("tool_calls") else "end_turn")


@pytest.mark.parametrize("name", MESSAGES_SAMPLES)
def test_a_messages_sample_says_the_same_to_a_chat_client(name: str) -> None:
    source = sample(name)
    found = messages_to_chat(source)
    said = message_of(found)
    blocks = source["content"]
    words = "".join(each["text"] for each in blocks if each["type"] == "text")
    assert (said["content"] or "") == words
    assert [
        (each["id"], each["function"]["name"], json.loads(each["function"]["arguments"]))
        for each in said.get("tool_calls", [])
    ] == [
        (each["id"], each["name"], each["input"]) for each in blocks if each["type"] == "tool_use"
    ]
    thinking = "".join(each["thinking"] for each in blocks if each["type"] == "thinking")
    assert said.get("reasoning_content", "") == thinking
    usage = source["usage"]
    read, write = (
        usage.get(name) or 0 for name in ("cache_read_input_tokens", "cache_creation_input_tokens")
    )
    assert found["usage"]["prompt_tokens"] == usage["input_tokens"] + read + write
    assert found["usage"]["prompt_tokens_details"]["cached_tokens"] == read
    assert found["usage"]["completion_tokens"] == usage["output_tokens"]
    assert found["usage"]["total_tokens"] == (
        found["usage"]["prompt_tokens"] + found["usage"]["completion_tokens"]
    )


@pytest.mark.pitfall("P73")
def test_p73_every_tool_use_block_becomes_a_call_in_order() -> None:
    found = messages_to_chat(
        messages(text("both:"), use("t1", a=1), use("t2", name="g"), reason="tool_use")
    )
    assert message_of(found) == {
        "role": "assistant",
        "content": "both:",
        "refusal": None,
        "tool_calls": [call("t1", '{"a":1}'), call("t2", "{}", "g")],
    }
    assert found["choices"][0]["finish_reason"] == "tool_calls"


@pytest.mark.pitfall("P89")
def test_p89_text_and_calls_are_one_choice() -> None:
    """P89: a legacy server's content list is one text, too."""
    found = messages_to_chat(messages(text("a"), text("b"), use("t"), reason="tool_use"))
    assert message_of(found)["content"] == "ab"
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    assert chat_to_messages(chat(content=parts))["content"] == [text("ab")]


@pytest.mark.parametrize(
    ("details", "expected"),
    [
        ({"cached_tokens": 1000}, (300, 1000, 0)),
        ({"cached_tokens": 1000, "cache_write_tokens": 200}, (100, 1000, 200)),
        ({"cached_tokens": 1500}, (0, 1500, 0)),
        (None, (1300, 0, 0)),
    ],
)
@pytest.mark.pitfall("P107")
def test_p107_cached_tokens_are_counted_once(details: Any, expected: tuple[int, int, int]) -> None:
    """P107, and vector 18.11: more cached than prompted leaves no fresh input."""
    answer = chat(content="x")
    answer["usage"] = {
        "prompt_tokens": 1300,
        "completion_tokens": 250,
        "total_tokens": 1550,
        "prompt_tokens_details": details,
    }
    usage = chat_to_messages(answer)["usage"]
    names = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
    assert tuple(usage[name] for name in names) == expected


@pytest.mark.pitfall("P108")
def test_p108_cache_writes_belong_to_the_prompt() -> None:
    """P108: the worked example of translation rules §13."""
    usage = {
        "input_tokens": 100,
        "cache_read_input_tokens": 1000,
        "cache_creation_input_tokens": 200,
        "output_tokens": 250,
    }
    found = messages_to_chat(messages(text("x"), usage=usage))["usage"]
    assert (found["prompt_tokens"], found["completion_tokens"], found["total_tokens"]) == (
        1300,
        250,
        1550,
    )
    assert found["prompt_tokens_details"]["cached_tokens"] == 1000


@pytest.mark.pitfall("P109")
def test_p109_reasoning_is_a_part_of_the_completion() -> None:
    answer = chat(content="x")
    answer["usage"] = {
        "prompt_tokens": 10,
        "completion_tokens": 250,
        "total_tokens": 260,
        "completion_tokens_details": {"reasoning_tokens": 150},
    }
    assert chat_to_messages(answer)["usage"]["output_tokens"] == 250
    usage = {
        "input_tokens": 10,
        "output_tokens": 250,
        "output_tokens_details": {"thinking_tokens": 150},
    }
    found = messages_to_chat(messages(text("x"), usage=usage))["usage"]
    assert found["completion_tokens"] == 250
    assert found["completion_tokens_details"]["reasoning_tokens"] == 150


def test_usage_that_was_never_stated_is_estimated() -> None:
    """Vector 18.11: both numbers are integers; four characters are taken for a token."""
    answer = chat(content="x" * 41)
    del answer["usage"]
    usage = chat_to_messages(answer)["usage"]
    assert (usage["input_tokens"], usage["output_tokens"]) == (9, 11)
    found = messages_to_chat(messages(text("x" * 41), usage=None))["usage"]
    assert (found["prompt_tokens"], found["completion_tokens"], found["total_tokens"]) == (
        9,
        11,
        20,
    )


def test_null_counts_are_zero() -> None:
    """Vector 18.11."""
    usage = {
        "input_tokens": 7,
        "cache_read_input_tokens": 0,
        "cache_creation_input_tokens": None,
        "output_tokens": 3,
    }
    found = messages_to_chat(messages(text("x"), usage=usage))["usage"]
    assert (found["prompt_tokens"], found["completion_tokens"], found["total_tokens"]) == (7, 3, 10)


@pytest.mark.parametrize(
    ("finish", "message", "reason"),
    [
        ("stop", {"content": "x"}, "end_turn"),
        ("length", {"content": "x"}, "max_tokens"),
        ("content_filter", {"content": "x"}, "refusal"),
        ("tool_calls", {"tool_calls": [call("a")]}, "tool_use"),
        ("stop", {"tool_calls": [call("a")]}, "tool_use"),
        ("tool_calls", {"content": "x"}, "end_turn"),
        ("tool_calls", {"content": "x", "tool_calls": []}, "end_turn"),
        ("length", {"tool_calls": [call("a")]}, "max_tokens"),
        ("function_call", {"function_call": {"name": "f", "arguments": "{}"}}, "tool_use"),
        ("eos", {"content": "x"}, "end_turn"),
        ("max_tokens", {"content": "x"}, "max_tokens"),
        (None, {"content": "x"}, "end_turn"),
        ("stop", {"refusal": "no"}, "refusal"),
    ],
)
@pytest.mark.pitfall("B32", "B33", "B34")
def test_why_a_chat_answer_ended(finish: str | None, message: dict[str, Any], reason: str) -> None:
    found = chat_to_messages(chat(finish, **message))
    assert (found["stop_reason"], found["stop_sequence"]) == (reason, None)


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("refusal", "content_filter"),
        ("pause_turn", "stop"),
        ("model_context_window_exceeded", "length"),
        ("something_new", "stop"),
    ],
)
@pytest.mark.pitfall("B33")
def test_why_a_messages_answer_ended(reason: str, finish: str) -> None:
    found = messages_to_chat(messages(text("x"), reason=reason))
    assert found["choices"][0]["finish_reason"] == finish


def test_a_refusal_keeps_its_words() -> None:
    assert chat_to_messages(chat(refusal="I will not."))["content"] == [text("I will not.")]


@pytest.mark.parametrize(
    ("arguments", "value"),
    [
        ('{"n":9007199254740993}', {"n": 9007199254740993}),
        ("", {}),
        (None, {}),
        ("  ", {}),
        ("[1]", {"value": [1]}),
        ("3", {"value": 3}),
        ('{"broken', {"__invalid_json": '{"broken'}),
    ],
)
@pytest.mark.pitfall("P66", "B49")
def test_arguments_become_an_object_and_nothing_is_lost(arguments: Any, value: Any) -> None:
    found = chat_to_messages(chat("tool_calls", tool_calls=[call("a", arguments)]))
    assert found["content"] == [{"type": "tool_use", "id": "a", "name": "f", "input": value}]


@pytest.mark.pitfall("P115", "P116")
def test_the_text_of_arguments_survives_towards_chat() -> None:
    """P115, P116 in answers: order, umlauts, big integers."""
    inner = '{"z":9007199254740993,"a":"grün"}'
    raw = json.dumps(messages(use("t"), reason="tool_use"), ensure_ascii=False)
    raw = raw.replace('"input": {}', f'"input": {inner}')
    over = crossing()
    found = json.loads(CHAT.write_response(MESSAGES.read_response(raw.encode(), over), over))
    assert message_of(found)["tool_calls"][0]["function"]["arguments"] == inner


@pytest.mark.pitfall("P91")
def test_ids_that_a_provider_forgot_are_made_and_differ() -> None:
    lacking = [{"type": "function", "function": {"name": "f", "arguments": "{}"}}] * 2
    blocks = chat_to_messages(chat("tool_calls", tool_calls=lacking))["content"]
    ids = [each["id"] for each in blocks]
    assert len(set(ids)) == 2
    assert all(ids)


@pytest.mark.pitfall("P113")
def test_names_come_back_as_the_client_declared_them() -> None:
    over = crossing(tool_names={"short": "The_Long_Name"})
    found = chat_to_messages(chat("tool_calls", tool_calls=[call("a", name="short")]), over)
    assert found["content"][0]["name"] == "The_Long_Name"
    found = messages_to_chat(messages(use("t", "short"), reason="tool_use"), over)
    assert message_of(found)["tool_calls"][0]["function"]["name"] == "The_Long_Name"


def test_thinking_and_its_state_travel_in_envelopes() -> None:
    found = messages_to_chat(
        messages(
            {"type": "thinking", "thinking": "first", "signature": "sig-1"},
            text("then"),
            {"type": "redacted_thinking", "data": "sealed"},
            use("t"),
            reason="tool_use",
        )
    )
    said = message_of(found)
    assert said["reasoning_content"] == "first"
    first, second = said["reasoning_details"]
    assert (first["type"], first["index"], first["text"]) == ("reasoning.text", 0, "first")
    assert (second["type"], second["index"]) == ("reasoning.encrypted", 1)
    opened = [envelope.unpack(each) for each in (first["signature"], second["data"])]
    assert [(each.kind, each.data, each.issuer, each.model) for each in opened if each] == [
        ("sig", "sig-1", "acme", "sample-1"),
        ("redacted", "sealed", "acme", "sample-1"),
    ]


def test_a_chat_providers_reasoning_state_becomes_a_signature() -> None:
    details = [{"type": "reasoning.text", "text": "hm", "signature": "native", "index": 0}]
    found = chat_to_messages(chat(content="x", reasoning="hm", reasoning_details=details))
    thinking, words = found["content"]
    assert (thinking["type"], thinking["thinking"]) == ("thinking", "hm")
    opened = envelope.unpack(thinking["signature"])
    assert opened is not None
    assert (opened.data, opened.issuer, opened.model) == ("native", "acme", "sample-1")
    assert words == text("x")


def test_a_client_that_does_not_want_to_see_reasoning_does_not() -> None:
    over = crossing(show_reasoning=False)
    thinking = {"type": "thinking", "thinking": "secret", "signature": "s"}
    said = message_of(messages_to_chat(messages(thinking, text("x")), over))
    assert said == {"role": "assistant", "content": "x", "refusal": None}


def test_citations_with_an_address_cross_both_ways() -> None:
    source = messages(
        text("Before. "),
        text(
            "Cited.",
            citations=[
                {
                    "type": "web_search_result_location",
                    "url": "https://e.com",
                    "title": "E",
                    "cited_text": "c",
                    "encrypted_index": "x",
                },
                {"type": "char_location", "cited_text": "c", "document_index": 0},
            ],
        ),
    )
    assert message_of(messages_to_chat(source))["annotations"] == [
        {
            "type": "url_citation",
            "url_citation": {
                "start_index": 8,
                "end_index": 14,
                "title": "E",
                "url": "https://e.com",
            },
        }
    ]
    annotation = {
        "type": "url_citation",
        "url_citation": {"url": "https://e.com", "title": "E", "start_index": 0, "end_index": 3},
    }
    found = chat_to_messages(chat(content="abc", annotations=[annotation]))
    assert found["content"][0]["citations"] == [
        {
            "type": "web_search_result_location",
            "url": "https://e.com",
            "title": "E",
            "encrypted_index": "",
            "cited_text": "",
        }
    ]


def test_only_the_first_of_several_choices_is_told() -> None:
    answer = chat(content="first")
    second = {"index": 1, "message": {"role": "assistant", "content": "second"}}
    answer["choices"].append({**second, "finish_reason": "length"})
    found = chat_to_messages(answer)
    assert (found["content"], found["stop_reason"]) == ([text("first")], "end_turn")


def test_an_answer_without_content_has_one_empty_text() -> None:
    assert chat_to_messages(chat(content=None))["content"] == [text("")]
    assert message_of(messages_to_chat(messages()))["content"] == ""


def test_a_stop_sequence_is_told_where_it_can_be() -> None:
    found = messages_to_chat(messages(text("x"), reason="stop_sequence", stop_sequence="END"))
    assert found["choices"][0]["finish_reason"] == "stop"


@pytest.mark.parametrize("fmt", [CHAT, MESSAGES], ids=["chat", "messages"])
@pytest.mark.parametrize(
    ("body", "fault"),
    [
        (b"{}", Garbled),
        (b"null", Garbled),
        (b"", Garbled),
        (b"<html>busy</html>", Garbled),
        (b'{"error":{"message":"busy","type":"overloaded_error"}}', Refused),
        (b'{"type":"error","error":{"type":"rate_limit_error","message":"slow down"}}', Refused),
        (b'{"choices":[],"content":null,"detail":"nothing here"}', Refused),
    ],
)
def test_a_200_without_an_answer_is_a_fault(
    fmt: Format, body: bytes, fault: type[Exception]
) -> None:
    with pytest.raises(fault):
        fmt.read_response(body, crossing())


def test_the_ids_and_times_are_the_gateways_own() -> None:
    found = messages_to_chat(messages(text("x")))
    assert (found["id"], found["object"], found["created"]) == (
        "chatcmpl-R0001",
        "chat.completion",
        1790000000,
    )
    assert chat_to_messages(chat(content="x"))["id"] == "msg_R0001"


def sealed(kind: str, data: str, model: str = "sample-1") -> str:
    """The envelope of a state, as the design notes write it."""
    content = {"v": 1, "issuer": "acme", "kind": kind, "model": model, "data": data}
    written = json.dumps(content, separators=(",", ":")).encode()
    return "gw1." + base64.urlsafe_b64encode(written).decode().rstrip("=")


def thinking(words: str | None, signature: str = "") -> dict[str, Any]:
    return {"type": "thinking", "thinking": words, "signature": signature}


# What servers bend


@pytest.mark.pitfall("P21")
def test_p21_null_texts_say_nothing() -> None:
    """P21: of a part, a block, thinking."""
    parts = [{"type": "text", "text": None}, {"type": "text", "text": "x"}]
    assert chat_to_messages(chat(content=parts))["content"] == [text("x")]
    null: dict[str, Any] = {"type": "text", "text": None}
    said = message_of(messages_to_chat(messages(null, thinking(None), text("x"))))
    assert said == {"role": "assistant", "content": "x", "refusal": None}


@pytest.mark.parametrize("name", ["", None])
@pytest.mark.pitfall("P03")
def test_p03_a_call_that_is_not_named_is_a_fault(name: str | None) -> None:
    nameless: list[tuple[Format, dict[str, Any]]] = [
        (CHAT, chat(tool_calls=[call("a") | {"function": {"name": name, "arguments": "{}"}}])),
        (CHAT, chat(tool_calls=[{"id": "a", "type": "custom", "custom": {"name": name}}])),
        (CHAT, chat(tool_calls=[{"id": "a", "type": "brand_new"}])),
        (CHAT, chat(function_call={"name": name})),
        (MESSAGES, messages({"type": "tool_use", "id": "a", "name": name, "input": {}})),
        (MESSAGES, messages({"type": "tool_use", "id": "a"})),
    ]
    for fmt, answer in nameless:
        with pytest.raises(Garbled, match="calls a tool without naming it"):
            fmt.read_response(json.dumps(answer).encode(), crossing())


@pytest.mark.pitfall("P52")
def test_arguments_given_as_an_object_are_taken_as_written() -> None:
    """P52, the other way round."""
    given = call("a", {"n": 9007199254740993})
    found = chat_to_messages(chat("tool_calls", tool_calls=[given]))
    assert found["content"] == [use("a", n=9007199254740993)]


@pytest.mark.parametrize("given", [{}, {"input": None}, {"input": {}}])
@pytest.mark.pitfall("P34")
def test_p34_a_call_without_input_has_an_empty_object(given: dict[str, Any]) -> None:
    block = {"type": "tool_use", "id": "t", "name": "f", **given}
    said = message_of(messages_to_chat(messages(block, reason="tool_use")))
    assert said["tool_calls"] == [call("t", "{}")]


def test_the_choice_that_counts_is_told_by_its_index() -> None:
    answer = chat(content="second")
    first = chat("length", content="first")["choices"]
    answer["choices"] = [answer["choices"][0] | {"index": 1}, *first]
    found = chat_to_messages(answer)
    assert (found["content"], found["stop_reason"]) == ([text("first")], "max_tokens")
    answer["choices"] = answer["choices"][:1]
    assert chat_to_messages(answer)["content"] == [text("second")]


@pytest.mark.pitfall("P38")
def test_p38_an_answer_that_ended_with_an_error_is_not_complete() -> None:
    """P38: the finish reason of aggregators, whole and streamed."""
    answer = chat("error", content="Half of")
    with pytest.raises(Garbled, match="ended the answer with an error"):
        CHAT.read_response(json.dumps(answer).encode(), crossing())
    answer["choices"][0]["error"] = {"code": 429, "message": "Slow down."}
    with pytest.raises(Refused) as caught:
        CHAT.read_response(json.dumps(answer).encode(), crossing())
    error = caught.value
    assert (error.kind, error.upstream_status, error.message) == ("rate_limit", 429, "Slow down.")

    stream = chunk(content="Half of") + chunk("error") + DONE
    told = read_messages(translated_stream(CHAT, MESSAGES, [stream])[0])
    assert told.text == "Half of"
    assert told.error == {
        "type": "api_error",
        "message": "The provider ended the answer with an error.",
    }
    choice = {"index": 0, "delta": {}, "finish_reason": "error"}
    choice["error"] = {"code": 503, "message": "Gone."}
    stream = chunk(content="Half of") + chunk_with({"choices": [choice]}) + DONE
    told = read_messages(translated_stream(CHAT, MESSAGES, [stream])[0])
    assert told.error == {"type": "overloaded_error", "message": "Gone."}


UNREADABLE: list[Any] = [{}, None, [], "many", {"prompt_tokens": 1.5}, {"input_tokens": "7"}]


@pytest.mark.parametrize("usage", UNREADABLE, ids=str)
def test_usage_that_cannot_be_read_is_estimated(usage: Any) -> None:
    told = chat_to_messages(chat(content="x" * 41) | {"usage": usage})["usage"]
    assert told == {
        "input_tokens": 9,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "output_tokens": 11,
    }
    told = messages_to_chat(messages(text("x" * 41), usage=usage))["usage"]
    assert told == {
        "prompt_tokens": 9,
        "completion_tokens": 11,
        "total_tokens": 20,
        "prompt_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0},
    }


def observed(fmt: Format, answer: dict[str, Any]) -> Observer:
    observer = fmt.observer()
    observer.body(json.dumps(answer).encode())
    return observer


@pytest.mark.parametrize("usage", UNREADABLE, ids=str)
@pytest.mark.pitfall("P130")
def test_unknown_usage_does_not_spoil_an_answer_that_passes_through(usage: Any) -> None:
    answers = [(CHAT, chat(content="x") | {"usage": usage})]
    answers.append((MESSAGES, messages(text("x"), usage=usage)))
    for fmt, answer in answers:
        observer = observed(fmt, answer)
        assert (observer.ended, observer.usage, observer.output_chars) == (True, None, 1)


@pytest.mark.pitfall("P130")
def test_unknown_pieces_do_not_spoil_an_answer_that_passes_through() -> None:
    odd: dict[str, Any] = {"type": "text", "text": None, "input": 7}
    answer = messages(odd, {"type": 7}, text("abc"), use("t"), reason="tool_use")
    observer = observed(MESSAGES, answer)
    assert (observer.finish_reason, observer.tool_calls) == ("tool_use", 1)
    assert observer.usage == Usage(input_tokens=10, output_tokens=5)
    answer = chat(content=[{"brand": "new"}])
    answer["choices"].append({"index": 1, "message": 7})
    observer = observed(CHAT, answer)
    assert (observer.finish_reason, observer.ended) == ("stop", True)
    assert observer.usage == Usage(input_tokens=10, output_tokens=5)


@pytest.mark.parametrize("fmt", [CHAT, MESSAGES], ids=["chat", "messages"])
@pytest.mark.parametrize("body", [b"", b"[]", b"7", b"{", b"{}", b'{"choices":5,"content":5}'])
def test_what_is_no_answer_is_a_fault_of_one_that_passes_through(fmt: Format, body: bytes) -> None:
    with pytest.raises(Garbled):
        fmt.observer().body(body)


# Thinking and its state


@pytest.mark.pitfall("P20")
def test_p20_thinking_without_text_keeps_its_signature() -> None:
    for words in ("", None):
        said = message_of(messages_to_chat(messages(thinking(words, "s"), text("x"))))
        assert "reasoning_content" not in said
        assert said["reasoning_details"] == [
            {
                "type": "reasoning.text",
                "index": 0,
                "signature": sealed("sig", "s"),
                "format": "gateway-v1",
            }
        ]
    detail = {"type": "reasoning.text", "signature": "s"}
    found = chat_to_messages(chat(content="x", reasoning_details=[detail]))
    assert found["content"] == [thinking("", sealed("sig", "s")), text("x")]


def test_encrypted_reasoning_stands_in_a_signature() -> None:
    detail = {"type": "reasoning.encrypted", "data": "s", "index": 0}
    found = chat_to_messages(chat(content="x", reasoning_details=[detail]))
    assert found["content"] == [thinking("", sealed("enc", "s")), text("x")]


def test_thinking_without_a_signature_has_an_empty_one() -> None:
    """Translation §15.1: the schema demands the member."""
    found = chat_to_messages(chat(content="x", reasoning_content="r"))
    assert found["content"] == [thinking("r", ""), text("x")]


@pytest.mark.pitfall("P64")
def test_p64_signatures_are_carried_byte_for_byte() -> None:
    signature = "Eq+/==\n \u00fc \U0001f600" * 50
    said = message_of(messages_to_chat(messages(thinking(" r \n", signature), text("x"))))
    assert said["reasoning_content"] == " r \n"
    code = said["reasoning_details"][0]["signature"].removeprefix("gw1.")
    content = json.loads(base64.urlsafe_b64decode(code + "=" * (-len(code) % 4)))
    assert content["data"] == signature


@pytest.mark.pitfall("P65", "B47")
def test_p65_thinking_comes_before_what_it_led_to() -> None:
    found = chat_to_messages(
        chat("tool_calls", content="x", tool_calls=[call("a")], reasoning_content="r")
    )
    assert found["content"] == [thinking("r"), text("x"), use("a")]


@pytest.mark.parametrize(
    "said",
    [
        {"reasoning_content": "r"},
        {"reasoning": "r"},
        {"reasoning_details": [{"type": "reasoning.text", "text": "r"}]},
        {"reasoning_details": [{"type": "reasoning.summary", "summary": "r"}]},
        {"reasoning": "r", "reasoning_content": "r"},
        {"reasoning": "r", "reasoning_details": [{"type": "reasoning.text", "text": "r"}]},
        {"reasoning": {"an": "object"}, "reasoning_content": "r"},
        {"reasoning": "r", "reasoning_details": None},
        {"reasoning": "r", "reasoning_details": ["odd", {"type": 7}]},
        {"reasoning": "r", "reasoning_content": None},
    ],
)
@pytest.mark.pitfall("P35", "P36", "B56")
def test_p36_reasoning_is_read_in_all_spellings_and_p35_once(said: dict[str, Any]) -> None:
    found = chat_to_messages(chat(content="x", **said))
    assert found["content"] == [thinking("r"), text("x")]


def test_hidden_thinking_keeps_its_state_for_a_client_that_must_send_it_back() -> None:
    over = crossing(show_reasoning=False)
    details = [{"type": "reasoning.text", "text": "r", "signature": "s"}]
    found = chat_to_messages(chat(content="x", reasoning_details=details), over)
    assert found["content"] == [thinking("", sealed("sig", "s")), text("x")]


# The next turn: what a client was given, it sends back

SCHEMA: dict[str, Any] = {"type": "object", "properties": {}}
MODEL = "claude-opus-9"
WITH_CALLS = ("parallel-tools", "reasoning-tool", "tool-call")


@pytest.mark.parametrize("echoes", [True, False], ids=["echoes", "forgets"])
@pytest.mark.parametrize("name", [*WITH_CALLS, "interleaved-thinking"])
@pytest.mark.pitfall("P64", "P65")
def test_p64_a_messages_provider_gets_its_own_blocks_back(name: str, echoes: bool) -> None:
    """P64, P65, and translation §18.3: in order and unaltered, also when a client keeps only what
    the official schema has and the gateway remembers the rest."""
    source = sample(f"messages.{name}")
    over = crossing(model=MODEL)
    events, kept = kept_of(MESSAGES.read_response(json.dumps(source).encode(), over), over)
    said = message_of(json.loads(CHAT.write_response(events, over)))
    if not echoes:
        said = {name: said[name] for name in ("role", "content", "tool_calls")}
        if kept is not None:
            over = crossing(model=MODEL, remembered=dict.fromkeys(kept.anchors, kept.parts))
    results = [
        {"role": "tool", "tool_call_id": each["id"], "content": "4"} for each in said["tool_calls"]
    ]
    tool = {"type": "function", "function": {"name": "get_weather", "parameters": SCHEMA}}
    asked = {"role": "user", "content": "?"}
    body = {"model": "m", "messages": [asked, said, *results], "tools": [tool]}
    asked_for, _ = unmarked(CHAT.read_request(json.dumps(body).encode()))
    sent = json.loads(MESSAGES.write_request(asked_for, over))
    native = {"b3BhcXVlLXJlYXNvbmluZy1zdGF0ZS0wMDAx", "b3BhcXVlLXJlYXNvbmluZy1zdGF0ZS0wMDAy"}
    assert strict_messages.problems(sent, signatures=frozenset(native)) == []
    assert sent["messages"][1] == {"role": "assistant", "content": source["content"]}
    assert "gw1." not in json.dumps(sent)


@pytest.mark.parametrize("name", WITH_CALLS)
def test_a_chat_provider_gets_its_own_calls_back(name: str) -> None:
    source = message_of(sample(f"chat.{name}"))
    found = chat_to_messages(sample(f"chat.{name}"))
    results = [
        {"type": "tool_result", "tool_use_id": each["id"], "content": "4"}
        for each in found["content"]
        if each["type"] == "tool_use"
    ]
    body = {
        "model": "m",
        "max_tokens": 9,
        "messages": [
            {"role": "user", "content": "?"},
            {"role": "assistant", "content": found["content"]},
            {"role": "user", "content": results},
        ],
        "tools": [{"name": "get_weather", "input_schema": SCHEMA}],
    }
    conversation = MESSAGES.read_request(json.dumps(body).encode())
    sent = json.loads(CHAT.write_request(conversation, crossing()))
    again = sent["messages"][1]
    thoughts = [again.pop(each, None) for each in ("reasoning_content", "reasoning_details")]
    assert strict_chat.problems(sent) == []
    assert (again.get("content"), again["tool_calls"]) == (source["content"], source["tool_calls"])
    details: list[dict[str, Any]] | None = source.get("reasoning_details")
    for each in details or ():
        del each["format"]
    assert thoughts == [source.get("reasoning_content"), details]
    assert "gw1." not in json.dumps(sent)


# Every member of an answer


@pytest.mark.pitfall("P129")
def test_a_messages_answer_as_a_chat_client_reads_it() -> None:
    """P129: these members and no others."""
    source = sample("messages.interleaved-thinking")
    state = [sealed("sig", f"b3BhcXVlLXJlYXNvbmluZy1zdGF0ZS0wMDA{end}") for end in ("x", "y")]
    assert messages_to_chat(source) == {
        "id": "chatcmpl-R0001",
        "object": "chat.completion",
        "created": 1790000000,
        "model": "claude-sample-1",
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": "Checking Oslo.",
                    "refusal": None,
                    "reasoning_content": "Need Oslo first.Lima as well.",
                    "reasoning_details": [
                        {
                            "type": "reasoning.text",
                            "index": 0,
                            "text": "Need Oslo first.",
                            "signature": state[0],
                            "format": "gateway-v1",
                        },
                        {
                            "type": "reasoning.text",
                            "index": 1,
                            "text": "Lima as well.",
                            "signature": state[1],
                            "format": "gateway-v1",
                            "text_offset": 14,
                        },
                    ],
                    "tool_calls": [
                        call("toolu_S1", '{"city":"Oslo","unit":"c"}', "get_weather"),
                        call("toolu_S2", '{"city":"Lima","unit":"c"}', "get_weather"),
                    ],
                },
                "logprobs": None,
                "finish_reason": "tool_calls",
            }
        ],
        "usage": {
            "prompt_tokens": 90,
            "completion_tokens": 120,
            "total_tokens": 210,
            "prompt_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 60},
        },
    }


@pytest.mark.pitfall("P129")
def test_a_chat_answer_as_a_messages_client_reads_it() -> None:
    """P129: these members and no others."""
    assert chat_to_messages(sample("chat.reasoning-tool")) == {
        "id": "msg_R0001",
        "type": "message",
        "role": "assistant",
        "model": "gpt-sample-1",
        "content": [
            thinking(
                "The user wants Oslo weather; call the tool.",
                sealed("sig", "b3BhcXVlLXJlYXNvbmluZy1zdGF0ZS0wMDAx"),
            ),
            use("call_S1", "get_weather", city="Oslo", unit="c"),
        ],
        "stop_reason": "tool_use",
        "stop_sequence": None,
        "usage": {
            "input_tokens": 78,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
            "output_tokens": 83,
            "output_tokens_details": {"thinking_tokens": 64},
        },
    }


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({"cached_tokens": 30}, (70, 30, 0)),
        ({"prompt_cache_hit_tokens": 30}, (70, 30, 0)),
        ({"prompt_tokens_details": None, "completion_tokens_details": None}, (100, 0, 0)),
        ({"prompt_tokens_details": {"cached_tokens": 120}}, (0, 120, 0)),
        ({"prompt_tokens_details": {"cached_tokens": -1, "cache_write_tokens": -1}}, (100, 0, 0)),
    ],
)
@pytest.mark.pitfall("P107")
def test_p107_every_spelling_of_cached_tokens(
    usage: dict[str, Any], expected: tuple[int, int, int]
) -> None:
    """P107, vector 18.11"""
    answer = chat(content="x")
    answer["usage"] = {"prompt_tokens": 100, "completion_tokens": 5, "total_tokens": 105} | usage
    told = chat_to_messages(answer)["usage"]
    assert told == {
        "input_tokens": expected[0],
        "cache_read_input_tokens": expected[1],
        "cache_creation_input_tokens": expected[2],
        "output_tokens": 5,
    }


@pytest.mark.pitfall("P107", "P108", "P109")
def test_p108_usage_there_and_back_has_every_count() -> None:
    """P107, P108, P109: the worked example of translation rules §13, from both sides."""
    assert chat_to_messages(sample("chat.cached-usage"))["usage"] == {
        "input_tokens": 100,
        "cache_creation_input_tokens": 200,
        "cache_read_input_tokens": 1000,
        "output_tokens": 250,
        "output_tokens_details": {"thinking_tokens": 150},
    }
    assert messages_to_chat(sample("messages.cached-usage"))["usage"] == {
        "prompt_tokens": 1300,
        "completion_tokens": 250,
        "total_tokens": 1550,
        "prompt_tokens_details": {"cached_tokens": 1000, "cache_write_tokens": 200},
        "completion_tokens_details": {"reasoning_tokens": 150},
    }


# Tools


@pytest.mark.pitfall("P111")
def test_p111_server_tools_are_left_out() -> None:
    """P111: nobody could execute them, and they are no reason to wait for a result."""
    server = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {}}
    result = {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []}
    found = messages_to_chat(messages(text("a"), server, result, {"type": "new"}, text("b")))
    assert message_of(found) == {"role": "assistant", "content": "ab", "refusal": None}
    assert found["choices"][0]["finish_reason"] == "stop"


@pytest.mark.pitfall("P18")
def test_p18_a_finish_for_tools_without_a_call_is_a_normal_end() -> None:
    found = messages_to_chat(messages(text("x"), reason="tool_use"))
    assert found["choices"][0]["finish_reason"] == "stop"


@pytest.mark.pitfall("B34")
def test_an_empty_list_of_calls_is_none() -> None:
    found = chat_to_messages(chat("tool_calls", content="x", tool_calls=[]))
    assert found["content"] == [{"type": "text", "text": "x"}]
    assert found["stop_reason"] == "end_turn"


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("tool_use", "tool_calls"),
        ("end_turn", "tool_calls"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("refusal", "content_filter"),
    ],
)
@pytest.mark.pitfall("P17", "P28", "B32", "B33")
def test_p28_a_call_does_not_mask_another_end(reason: str, finish: str) -> None:
    found = messages_to_chat(messages(use("t"), reason=reason))
    assert found["choices"][0]["finish_reason"] == finish


@pytest.mark.parametrize(
    ("finish", "reason"),
    [
        ("STOP", "end_turn"),
        ("MAX_TOKENS", "max_tokens"),
        ("model_length", "max_tokens"),
        ("SAFETY", "refusal"),
        ("content_filtered", "refusal"),
        ("refusal", "refusal"),
        ("pause_turn", "pause_turn"),
        ("model_context_window_exceeded", "model_context_window_exceeded"),
        ("", "end_turn"),
    ],
)
def test_finish_reasons_of_compatible_servers(finish: str, reason: str) -> None:
    assert chat_to_messages(chat(finish, content="x"))["stop_reason"] == reason


def test_a_refusal_comes_after_what_was_said_before_it() -> None:
    """Translation §12: its text is kept; a filter's own finish reason stays."""
    found = chat_to_messages(chat(content="Well. ", refusal="No."))
    assert (found["content"], found["stop_reason"]) == ([text("Well. "), text("No.")], "refusal")
    assert chat_to_messages(chat("length", refusal="No."))["stop_reason"] == "max_tokens"


def test_a_custom_tool_is_called_with_its_text() -> None:
    over = crossing(custom_tools={"py"})
    wrapped = messages(use("t", "py", input="print(1)\n"), use("u", "py", x=1), reason="tool_use")
    found = messages_to_chat(wrapped, over)
    assert message_of(found)["tool_calls"] == [
        {"id": "t", "type": "custom", "custom": {"name": "py", "input": "print(1)\n"}},
        {"id": "u", "type": "custom", "custom": {"name": "py", "input": '{"x":1}'}},
    ]


def test_clients_of_the_old_functions_get_one_function_call() -> None:
    over = crossing(legacy_functions=True)
    answer = messages(use("t", "f", a=1), use("u", "g"), reason="tool_use")
    found = CHAT.write_response(MESSAGES.read_response(json.dumps(answer).encode(), over), over)
    choice = json.loads(found)["choices"][0]
    assert choice["finish_reason"] == "function_call"
    assert choice["message"] == {
        "role": "assistant",
        "content": None,
        "refusal": None,
        "function_call": {"name": "f", "arguments": '{"a":1}'},
    }


def test_the_old_function_call_is_a_tool_call_with_an_id() -> None:
    function = {"name": "f", "arguments": '{"a":1}'}
    found = chat_to_messages(chat("function_call", function_call=function))
    assert found["content"] == [use("call_R0001_0", a=1)]
    both = chat("tool_calls", function_call=function, tool_calls=[call("t", '{"a":1}')])
    assert chat_to_messages(both)["content"] == [use("t", a=1)]


@pytest.mark.pitfall("P91")
def test_p91_minted_ids_are_told_apart_by_their_block() -> None:
    """P91, towards both."""
    lacking = [call("", name="f"), call("", name="f") | {"id": None}]
    found = chat_to_messages(chat("tool_calls", content="x", tool_calls=lacking))
    assert found["content"][1:] == [use("call_R0001_1"), use("call_R0001_2")]
    blocks = [use(""), use("") | {"id": None}]
    said = message_of(messages_to_chat(messages(*blocks, reason="tool_use")))
    assert said["tool_calls"] == [call("call_R0001_0"), call("call_R0001_1")]


def test_half_an_emoji_does_not_spoil_an_answer() -> None:
    """Programs in JavaScript cut strings between its two halves."""
    assert chat_to_messages(chat(content="a\ud83d"))["content"] == [text("a\ufffd")]
    said = message_of(messages_to_chat(messages(text("a\ud83d"), use("t", a="\ude00"))))
    assert said["content"] == "a\ufffd"
    assert said["tool_calls"] == [call("t", '{"a":"\\ufffd"}')]


def test_citations_are_counted_in_characters_of_the_whole_text() -> None:
    cited = {"type": "web_search_result_location", "url": "https://a", "encrypted_index": "e"}
    found = messages_to_chat(
        messages(
            text("\U0001f600\u00fc"),
            thinking("r", "s"),
            text("ab", citations=[cited | {"title": None}]),
            text("c", citations=None),
            text("d", citations=[cited | {"title": "A", "cited_text": "d"}, {"url": None}]),
        )
    )
    spans = [each["url_citation"] for each in message_of(found)["annotations"]]
    assert spans == [
        {"start_index": 2, "end_index": 4, "title": "", "url": "https://a"},
        {"start_index": 5, "end_index": 6, "title": "A", "url": "https://a"},
    ]


def test_annotations_of_other_kinds_are_left_out() -> None:
    notes = [{"type": "file_citation"}, {"type": "url_citation", "url_citation": {"url": ""}}]
    assert chat_to_messages(chat(content="x", annotations=notes))["content"] == [text("x")]


def test_an_answer_that_names_no_model_has_the_requested_one() -> None:
    for model in (None, ""):
        assert chat_to_messages(chat(content="x") | {"model": model})["model"] == "sample-1"
        assert messages_to_chat(messages(text("x"), model=model))["model"] == "sample-1"
