"""Google's signatures of tool calls in Chat Completions: `extra_content.google.thought_signature`.

Sources: chat-completions.md §6 and translation rules §10 of the design notes."""

import json
from typing import Any

import pytest
from support.gemini import GEMINI
from support.gemini import call as gemini_call
from support.gemini import chunk as gemini_chunk
from support.golden import CHAT, MESSAGES, crossing, read, translated, write
from support.strict_streams import read_chat
from support.whole_answers import chat_problems
from support.wire import DONE, ROLE, chunk

from plexus_proxy.formats import envelope
from plexus_proxy.formats.conversation import Reasoning, ToolCall
from plexus_proxy.formats.events import (
    BlockEnd,
    BlockStart,
    Event,
    Finish,
    Opaque,
    ReasoningDelta,
    ReasoningSignature,
    Start,
    ToolInputDelta,
)
from plexus_proxy.formats.format import IN_BODY

MODEL = "gemini-3-pro-preview"
STATE = "bmF0aXZl"
OWN = Opaque("gsig", STATE, "acme", "sample-1")
SKIP = "skip_thought_signature_validator"


def google(signature: Any) -> dict[str, Any]:
    return {"extra_content": {"google": {"thought_signature": signature}}}


def called(tool_id: str, **fields: Any) -> dict[str, Any]:
    function = {"name": "f", "arguments": "{}"}
    return {"id": tool_id, "type": "function", "function": function, **fields}


def conversation(*calls: dict[str, Any], **fields: Any) -> dict[str, Any]:
    said = {"role": "assistant", "content": None, "tool_calls": list(calls), **fields}
    results = [{"role": "tool", "tool_call_id": each["id"], "content": "ok"} for each in calls]
    return {"model": "m", "messages": [{"role": "user", "content": "hi"}, said, *results]}


def to_gemini(body: dict[str, Any], **changed: Any) -> list[Any]:
    """The signatures of the calls in the request of a Gemini provider."""
    over = crossing(**{"provider": "acme", "model": MODEL} | changed)
    request = GEMINI.write_request(CHAT.read_request(_json(body), IN_BODY), over)
    assert b"gw1." not in request
    contents = json.loads(request)["contents"]
    parts = [part for content in contents for part in content["parts"]]
    return [part.get("thoughtSignature") for part in parts if "functionCall" in part]


def _json(body: dict[str, Any]) -> bytes:
    return json.dumps(body).encode()


def sealed(**changed: Any) -> str:
    fields = {"kind": "gsig", "data": STATE, "issuer": "acme", "model": MODEL} | changed
    return envelope.pack(Opaque(**fields))


def in_base64() -> str:
    return envelope.pack_base64(Opaque("gsig", STATE, "acme", MODEL))


@pytest.mark.parametrize("signature", [sealed(), in_base64()], ids=["marked", "base64"])
def test_a_chat_client_replays_the_signature_of_a_call(signature: str) -> None:
    assert to_gemini(conversation(called("a", **google(signature)), called("b"))) == [STATE, None]


@pytest.mark.parametrize(
    "signature",
    [
        sealed(issuer="other"),
        sealed(model="gemini-2.5-pro"),
        "bmF0aXZlLW9mLXdob20=",
        SKIP,
        "gw1.junk",
        "",
        None,
        3,
    ],
    ids=["issuer", "model", "native", "sentinel", "junk", "empty", "null", "number"],
)
def test_what_its_issuer_did_not_sign_is_replaced_by_the_sentinel(signature: Any) -> None:
    assert to_gemini(conversation(called("a", **google(signature)))) == [SKIP]


@pytest.mark.parametrize("extra", [None, 3, [], {"google": 3}, {"google": None}, {"acme": {}}])
def test_extra_content_of_another_shape_is_no_reason_to_refuse(extra: Any) -> None:
    assert to_gemini(conversation(called("a", extra_content=extra))) == [SKIP]


def test_state_told_twice_is_read_once() -> None:
    detail = {"type": "reasoning.encrypted", "data": sealed(), "text_offset": 0}
    body = conversation(called("a", **google(sealed())), reasoning_details=[detail])
    turn = CHAT.read_request(_json(body), IN_BODY).turns[1]
    assert [type(part) for part in turn.parts] == [Reasoning, ToolCall]
    assert to_gemini(body) == [STATE]


def test_state_of_each_step_stays_with_its_step() -> None:
    first = conversation(called("a", **google(sealed())))
    second = conversation(called("b", **google(sealed(data="bW9yZQ=="))))
    both = first | {"messages": [*first["messages"], *second["messages"][1:]]}
    assert to_gemini(both) == [STATE, "bW9yZQ=="]


SIGNED = [
    Start("id", "sample-1"),
    BlockStart(0, "reasoning"),
    ReasoningDelta(0, "Hm."),
    ReasoningSignature(0, OWN),
    BlockEnd(0),
    BlockStart(1, "tool", "a", "f"),
    ToolInputDelta(1, "{}"),
    BlockEnd(1),
    BlockStart(2, "tool", "b", "f"),
    ToolInputDelta(2, "{}"),
    BlockEnd(2),
    Finish("tool_calls"),
]


@pytest.mark.parametrize("show", [True, False], ids=["shown", "hidden"])
def test_a_streamed_call_carries_its_state_in_an_envelope(show: bool) -> None:
    """Also for clients that hide reasoning: it is needed for the next request all the same."""
    tools = read_chat(write(CHAT, SIGNED, show_reasoning=show)).tools
    assert [each.state for each in tools] == [envelope.pack(OWN), ""]


@pytest.mark.parametrize("show", [True, False], ids=["shown", "hidden"])
def test_a_whole_call_carries_its_state_in_an_envelope(show: bool) -> None:
    whole = json.loads(CHAT.write_response(SIGNED, crossing(show_reasoning=show)))
    assert chat_problems(whole) == []
    calls = whole["choices"][0]["message"]["tool_calls"]
    assert [each.get("extra_content") for each in calls] == [
        google(envelope.pack(OWN))["extra_content"],
        None,
    ]


def test_state_of_other_vendors_stays_in_the_details() -> None:
    events: list[Event] = [*SIGNED]
    events[3] = ReasoningSignature(0, Opaque("sig", STATE, "acme", "sample-1"))
    assert "extra_content" not in write(CHAT, events).decode()
    assert "extra_content" not in CHAT.write_response(events, crossing()).decode()


def test_what_a_gemini_provider_signed_comes_back_to_it_through_a_chat_client() -> None:
    frames = [gemini_chunk(gemini_call("f", {}, "a", STATE), finish="STOP")]
    stream, _ = translated(GEMINI, CHAT, frames, model=MODEL)
    tool = read_chat(stream).tools[0]
    assert to_gemini(conversation(called(tool.id, **google(tool.state)))) == [STATE]


def piece(**fields: Any) -> bytes:
    return chunk(tool_calls=[{"index": 0, **called("a"), **fields}])


def test_a_chat_provider_streams_state_before_its_call() -> None:
    events = read(CHAT, ROLE + piece(**google(STATE)) + chunk("tool_calls") + DONE)
    assert events[1:5] == [
        BlockStart(0, "reasoning"),
        ReasoningSignature(0, OWN),
        BlockEnd(0),
        BlockStart(1, "tool", "a", "f"),
    ]


def test_state_signs_the_thought_right_before_its_call() -> None:
    thought = chunk(reasoning_content="Hm.")
    events = read(CHAT, ROLE + thought + piece(**google(STATE)) + chunk("tool_calls") + DONE)
    assert events[1:5] == [
        BlockStart(0, "reasoning"),
        ReasoningDelta(0, "Hm."),
        ReasoningSignature(0, OWN),
        BlockEnd(0),
    ]


@pytest.mark.parametrize("thought", [{}, {"reasoning_content": "Hm."}], ids=["alone", "thought"])
def test_a_whole_answer_of_a_chat_provider_says_the_same_as_its_stream(
    thought: dict[str, Any],
) -> None:
    message = {"role": "assistant", "content": None, **thought}
    message["tool_calls"] = [called("a", **google(STATE)), called("b")]
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls"}
    whole = CHAT.read_response(_json({"id": "x", "choices": [choice]}), crossing())
    deltas = [thought] if thought else []
    deltas += [
        {"tool_calls": [{"index": index, **each}]}
        for index, each in enumerate(message["tool_calls"])
    ]
    stream = b"".join([chunk(**each) for each in deltas]) + chunk("tool_calls") + DONE
    assert whole[1:] == read(CHAT, ROLE + stream)[1:]


@pytest.mark.parametrize("model", ["sample-1", "another"])
def test_state_goes_back_to_the_chat_provider_that_issued_it(model: str) -> None:
    thinking = {"type": "thinking", "thinking": "", "signature": envelope.pack(OWN)}
    use = [{"type": "tool_use", "id": each, "name": "f", "input": {}} for each in ("a", "b")]
    results = [{"type": "tool_result", "tool_use_id": each, "content": "ok"} for each in "ab"]
    sent = {
        "model": "m",
        "max_tokens": 9,
        "messages": [
            {"role": "user", "content": "hi"},
            {"role": "assistant", "content": [thinking, *use]},
            {"role": "user", "content": results},
        ],
    }
    over = crossing(model=model)
    request = CHAT.write_request(MESSAGES.read_request(_json(sent), IN_BODY), over)
    message = json.loads(request)["messages"][1]
    own = model == "sample-1"
    assert message == {
        "role": "assistant",
        "content": None,
        "tool_calls": [called("a", **(google(STATE) if own else {})), called("b")],
    }
    assert over.dropped == ([] if own else ["messages.content.thinking"])


def test_envelopes_are_taken_out_of_calls_for_a_provider_of_the_same_format() -> None:
    native = called("b", **google(STATE))
    body = conversation(called("a", **google(sealed())), native)
    call = CHAT.read_call(_json(body), IN_BODY)
    assert call.marks is not None
    assert call.marks.envelopes
    spliced = json.loads(CHAT.splice(call, "other", {}))
    assert spliced["messages"][1]["tool_calls"] == [called("a"), native]


def test_arguments_that_look_like_an_envelope_stay_as_they_are() -> None:
    spoken = {"name": "f", "arguments": "{}", "note": sealed()}
    body = conversation(called("a") | {"function": spoken})
    spliced = json.loads(CHAT.splice(CHAT.read_call(_json(body), IN_BODY), "other", {}))
    assert spliced == body | {"model": "other"}
