"""Whole answers, read from one format and written in the other."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from support.golden import CHAT, MESSAGES, crossing
from support.golden import translated as translated_stream
from support.strict_streams import read_messages
from support.whole_answers import chat_problems, messages_problems
from support.wire import DONE, chunk, chunk_with

from plexus_proxy.errors import Garbled, Refused
from plexus_proxy.formats import envelope
from plexus_proxy.formats.conversation import Crossing
from plexus_proxy.formats.events import Usage
from plexus_proxy.formats.format import Format, Observer

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


def test_p73_every_tool_use_block_becomes_a_call_in_order() -> None:
    """P73."""
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


def test_p109_reasoning_is_a_part_of_the_completion() -> None:
    """P109."""
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
        ("length", {"tool_calls": [call("a")]}, "max_tokens"),
        ("function_call", {"function_call": {"name": "f", "arguments": "{}"}}, "tool_use"),
        ("eos", {"content": "x"}, "end_turn"),
        ("max_tokens", {"content": "x"}, "max_tokens"),
        (None, {"content": "x"}, "end_turn"),
        ("stop", {"refusal": "no"}, "refusal"),
    ],
)
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
def test_arguments_become_an_object_and_nothing_is_lost(arguments: Any, value: Any) -> None:
    found = chat_to_messages(chat("tool_calls", tool_calls=[call("a", arguments)]))
    assert found["content"] == [{"type": "tool_use", "id": "a", "name": "f", "input": value}]


def test_the_text_of_arguments_survives_towards_chat() -> None:
    """P115, P116 in answers: order, umlauts, big integers."""
    inner = '{"z":9007199254740993,"a":"grün"}'
    raw = json.dumps(messages(use("t"), reason="tool_use"), ensure_ascii=False)
    raw = raw.replace('"input": {}', f'"input": {inner}')
    over = crossing()
    found = json.loads(CHAT.write_response(MESSAGES.read_response(raw.encode(), over), over))
    assert message_of(found)["tool_calls"][0]["function"]["arguments"] == inner


def test_ids_that_a_provider_forgot_are_made_and_differ() -> None:
    """P91."""
    lacking = [{"type": "function", "function": {"name": "f", "arguments": "{}"}}] * 2
    blocks = chat_to_messages(chat("tool_calls", tool_calls=lacking))["content"]
    ids = [each["id"] for each in blocks]
    assert len(set(ids)) == 2
    assert all(ids)


def test_names_come_back_as_the_client_declared_them() -> None:
    """P113."""
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


def test_p21_null_texts_say_nothing() -> None:
    """P21: of a part, a block, thinking."""
    parts = [{"type": "text", "text": None}, {"type": "text", "text": "x"}]
    assert chat_to_messages(chat(content=parts))["content"] == [text("x")]
    null: dict[str, Any] = {"type": "text", "text": None}
    said = message_of(messages_to_chat(messages(null, thinking(None), text("x"))))
    assert said == {"role": "assistant", "content": "x", "refusal": None}


@pytest.mark.parametrize("name", ["", None])
def test_p03_a_call_that_is_not_named_is_a_fault(name: str | None) -> None:
    """P03"""
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


def test_arguments_given_as_an_object_are_taken_as_written() -> None:
    """P52, the other way round."""
    given = call("a", {"n": 9007199254740993})
    found = chat_to_messages(chat("tool_calls", tool_calls=[given]))
    assert found["content"] == [use("a", n=9007199254740993)]


@pytest.mark.parametrize("given", [{}, {"input": None}, {"input": {}}])
def test_p34_a_call_without_input_has_an_empty_object(given: dict[str, Any]) -> None:
    """P34"""
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
def test_unknown_usage_does_not_spoil_an_answer_that_passes_through(usage: Any) -> None:
    """P130"""
    answers = [(CHAT, chat(content="x") | {"usage": usage})]
    answers.append((MESSAGES, messages(text("x"), usage=usage)))
    for fmt, answer in answers:
        observer = observed(fmt, answer)
        assert (observer.ended, observer.usage, observer.output_chars) == (True, None, 1)


def test_unknown_pieces_do_not_spoil_an_answer_that_passes_through() -> None:
    """P130"""
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
