"""Gemini streams as providers send them, and as we send them to clients."""

import base64
import json
from collections.abc import Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.gemini import GEMINI, answer, call, chunk, sse, text, thought, usage
from support.golden import (
    CASES,
    CHAT,
    MESSAGES,
    crossing,
    format_of,
    marked,
    observed,
    read,
    told,
    write,
)
from support.golden import translated as translate
from support.strict_gemini_stream import read_gemini, read_whole_gemini
from support.strict_streams import Answer, read_chat, read_messages
from support.wire import DONE, ROLE
from support.wire import call as chat_call
from support.wire import chunk as chat_chunk

from plexus_proxy.errors import Garbled, PlexusError, Refused
from plexus_proxy.formats import envelope
from plexus_proxy.formats.conversation import Reasoning, Remembered
from plexus_proxy.formats.events import (
    BlockEnd,
    BlockStart,
    Citation,
    CitationDelta,
    Event,
    Failure,
    Finish,
    Opaque,
    ReasoningDelta,
    ReasoningSignature,
    Start,
    TextDelta,
    ToolInputDelta,
    Usage,
    UsageUpdate,
)
from plexus_proxy.formats.fold import fold
from plexus_proxy.formats.format import Format
from plexus_proxy.formats.relay import Passthrough, Translation, stream_of_events

SAMPLES = {
    path.name.split(".")[1]: path.read_bytes().replace(b"\r\n", b"\n")
    for path in sorted((Path(__file__).parent.parent / "samples").glob("gemini.*.stream.sse"))
}
SAMPLE = pytest.mark.parametrize("name", SAMPLES)
CLIENTS = pytest.mark.parametrize("client", [CHAT, MESSAGES], ids=["chat", "messages"])
PROVIDERS = pytest.mark.parametrize("case", CASES, ids=[f"{c.parent.name}.{c.name}" for c in CASES])
JUDGES: dict[str, Any] = {"chat": read_chat, "messages": read_messages, "gemini": read_gemini}
DEPTHS = pytest.mark.parametrize("depth", ["few", pytest.param("many", marks=pytest.mark.long)])
LINE_ENDS = st.sampled_from([b"\n", b"\r\n", b"\r"])
STATE = "b3BhcXVlLXJlYXNvbmluZy1zdGF0ZS0wMDAx"
CUT = "The provider's stream ended before the answer was complete."


def to(client: Format, *frames: bytes, **changed: Any) -> Answer:
    """A Gemini provider's answer as a client of another format puts it together."""
    return JUDGES[client.name](translate(GEMINI, client, frames, **changed)[0])


def gsig(data: str = STATE) -> Opaque:
    return Opaque("gsig", data, "acme", "sample-1")


def unpacked(state: str) -> Any:
    """What is in an envelope, read without the package."""
    return json.loads(base64.b64decode(state, validate=True))


def split(stream: bytes, cuts: Sequence[int]) -> list[bytes]:
    edges = sorted({0, len(stream), *(cut % (len(stream) + 1) for cut in cuts)})
    return [stream[a:b] for a, b in pairwise(edges)]


# Reading: every sample

_EVENTS_OF: dict[str, list[dict[str, Any]]] = {
    "midstream-error": [
        {"event": "BlockStart", "index": 0, "kind": "text"},
        {"event": "TextDelta", "index": 0, "text": "Once"},
        {
            "event": "Failure",
            "error": "Refused",
            "kind": "overloaded",
            "message": "The model is overloaded. Please try again later.",
        },
    ],
    "parallel-tools": [
        {"event": "BlockStart", "index": 0, "kind": "text"},
        {"event": "TextDelta", "index": 0, "text": "Checking both."},
        {"event": "BlockEnd", "index": 0},
        {"event": "BlockStart", "index": 1, "kind": "reasoning"},
        {"event": "ReasoningSignature", "index": 1, "opaque": STATE},
        {"event": "BlockEnd", "index": 1},
        {
            "event": "BlockStart",
            "index": 2,
            "kind": "tool",
            "tool_id": "fn_S1",
            "tool_name": "get_weather",
        },
        {"event": "ToolInputDelta", "index": 2, "text": '{"city":"Oslo","unit":"c"}'},
        {"event": "BlockEnd", "index": 2},
        {
            "event": "BlockStart",
            "index": 3,
            "kind": "tool",
            "tool_id": "fn_S2",
            "tool_name": "get_weather",
        },
        {"event": "ToolInputDelta", "index": 3, "text": '{"city":"Lima","unit":"c"}'},
        {"event": "BlockEnd", "index": 3},
        {"event": "UsageUpdate", "usage": [81, 0, 0, 44, 0]},
        {"event": "Finish", "reason": "tool_calls"},
    ],
    "quirk-calls-in-two-chunks": [
        {"event": "BlockStart", "index": 0, "kind": "reasoning"},
        {"event": "ReasoningSignature", "index": 0, "opaque": STATE},
        {"event": "BlockEnd", "index": 0},
        {
            "event": "BlockStart",
            "index": 1,
            "kind": "tool",
            "tool_id": "call_R0001_1",
            "tool_name": "get_weather",
        },
        {"event": "ToolInputDelta", "index": 1, "text": '{"city":"Oslo","unit":"c"}'},
        {"event": "BlockEnd", "index": 1},
        {
            "event": "BlockStart",
            "index": 2,
            "kind": "tool",
            "tool_id": "call_R0001_2",
            "tool_name": "get_weather",
        },
        {"event": "ToolInputDelta", "index": 2, "text": '{"city":"Lima","unit":"c"}'},
        {"event": "BlockEnd", "index": 2},
        {"event": "UsageUpdate", "usage": [81, 0, 0, 40, 0]},
        {"event": "Finish", "reason": "tool_calls"},
    ],
    "quirk-malformed-call": [
        {
            "event": "Failure",
            "error": "Refused",
            "kind": "upstream_broken",
            "message": "The provider ended the answer with MALFORMED_FUNCTION_CALL: "
            "Malformed function call: get_weather(city=",
        }
    ],
    "quirk-max-tokens-thinking": [
        {"event": "BlockStart", "index": 0, "kind": "reasoning"},
        {"event": "ReasoningDelta", "index": 0, "text": "Long thought"},
        {"event": "BlockEnd", "index": 0},
        {"event": "UsageUpdate", "usage": [21, 0, 0, 0, 64]},
        {"event": "Finish", "reason": "length"},
    ],
    "reasoning-text": [
        {"event": "BlockStart", "index": 0, "kind": "reasoning"},
        {"event": "ReasoningDelta", "index": 0, "text": "Think of a colour."},
        {"event": "BlockEnd", "index": 0},
        {"event": "BlockStart", "index": 1, "kind": "text"},
        {"event": "TextDelta", "index": 1, "text": "Teal."},
        {"event": "BlockEnd", "index": 1},
        {"event": "BlockStart", "index": 2, "kind": "reasoning"},
        {"event": "ReasoningSignature", "index": 2, "opaque": STATE},
        {"event": "BlockEnd", "index": 2},
        {"event": "UsageUpdate", "usage": [21, 0, 0, 3, 12]},
        {"event": "Finish", "reason": "stop"},
    ],
    "reasoning-tool": [
        {"event": "BlockStart", "index": 0, "kind": "reasoning"},
        {"event": "ReasoningDelta", "index": 0, "text": "The user wants Oslo weather;"},
        {"event": "ReasoningDelta", "index": 0, "text": " call the tool."},
        {"event": "ReasoningSignature", "index": 0, "opaque": STATE},
        {"event": "BlockEnd", "index": 0},
        {
            "event": "BlockStart",
            "index": 1,
            "kind": "tool",
            "tool_id": "fn_S1",
            "tool_name": "get_weather",
        },
        {"event": "ToolInputDelta", "index": 1, "text": '{"city":"Oslo","unit":"c"}'},
        {"event": "BlockEnd", "index": 1},
        {"event": "UsageUpdate", "usage": [78, 0, 0, 19, 64]},
        {"event": "Finish", "reason": "tool_calls"},
    ],
    "text": [
        {"event": "BlockStart", "index": 0, "kind": "text"},
        {"event": "TextDelta", "index": 0, "text": "Teal"},
        {"event": "TextDelta", "index": 0, "text": " is a"},
        {"event": "TextDelta", "index": 0, "text": " colour."},
        {"event": "BlockEnd", "index": 0},
        {"event": "UsageUpdate", "usage": [21, 0, 0, 6, 0]},
        {"event": "Finish", "reason": "stop"},
    ],
    "tool-call": [
        {"event": "BlockStart", "index": 0, "kind": "text"},
        {"event": "TextDelta", "index": 0, "text": "Let me check."},
        {"event": "BlockEnd", "index": 0},
        {
            "event": "BlockStart",
            "index": 1,
            "kind": "tool",
            "tool_id": "fn_S1",
            "tool_name": "get_weather",
        },
        {"event": "ToolInputDelta", "index": 1, "text": '{"city":"Oslo","unit":"c"}'},
        {"event": "BlockEnd", "index": 1},
        {"event": "UsageUpdate", "usage": [78, 0, 0, 25, 0]},
        {"event": "Finish", "reason": "tool_calls"},
    ],
}


def shortly(event: Event) -> dict[str, Any]:
    """As `told`, with usage as its five counts and state as its data."""
    fields = told(event)
    if "usage" in fields:
        fields["usage"] = list(fields["usage"].values())
    if "opaque" in fields:
        assert (fields["opaque"]["kind"], fields["opaque"]["issuer"]) == ("gsig", "acme")
        fields["opaque"] = fields["opaque"]["data"]
    return fields


@SAMPLE
def test_a_sample_is_read_as_these_events(name: str) -> None:
    start, *events = [shortly(event) for event in read(GEMINI, SAMPLES[name])]
    assert start == {"event": "Start", "id": "rS0001", "model": "gemini-sample-1"}
    assert events == _EVENTS_OF[name]


@SAMPLE
def test_a_sample_is_observed_as_it_is_read(name: str) -> None:
    events = read(GEMINI, SAMPLES[name])
    observer = observed(GEMINI, SAMPLES[name])
    assert (observer.failure is not None) == isinstance(events[-1], Failure)
    assert observer.complete == observer.ended == isinstance(events[-1], Finish)
    assert observer.committed == any(isinstance(event, BlockStart) for event in events)
    if isinstance(events[-1], Finish):
        answer = fold(events)
        assert observer.usage == answer.usage
        assert observer.tool_calls == len(answer.of("tool"))
        assert observer.output_chars == sum(len(block.text) for block in answer.blocks)


@SAMPLE
def test_the_judge_knows_well_formed_streams(name: str) -> None:
    """Providers send those; what only they may do, the judge refuses."""
    if name.startswith("quirk"):
        with pytest.raises(AssertionError):
            read_gemini(SAMPLES[name])
    else:
        read_gemini(SAMPLES[name])


def test_the_native_word_is_kept_as_the_finish_reason() -> None:
    assert observed(GEMINI, SAMPLES["quirk-max-tokens-thinking"]).finish_reason == "MAX_TOKENS"
    assert observed(GEMINI, SAMPLES["quirk-malformed-call"]).finish_reason == (
        "MALFORMED_FUNCTION_CALL"
    )


def test_the_golden_vector_of_a_messages_client() -> None:
    """Translation rules §18.5."""
    answer = to(MESSAGES, SAMPLES["reasoning-tool"])
    assert answer.blocks == ["thinking", "tool_use"]
    assert [envelope.unpack(state) for state in answer.states] == [gsig()]
    assert answer.reason == "tool_use"
    assert answer.usage is not None
    assert (answer.usage["input_tokens"], answer.usage["output_tokens"]) == (78, 83)
    assert answer.usage["output_tokens_details"] == {"thinking_tokens": 64}


@pytest.mark.pitfall("P91", "B39", "B46")
def test_p91_calls_without_ids_get_ids_of_their_own() -> None:
    for client in (CHAT, MESSAGES):
        tools = to(client, SAMPLES["quirk-calls-in-two-chunks"]).tools
        assert [(each.name, each.value["city"]) for each in tools] == [
            ("get_weather", "Oslo"),
            ("get_weather", "Lima"),
        ]
        assert tools[0].id != tools[1].id


@pytest.mark.pitfall("P17", "P27", "B32")
def test_p17_p27_stop_after_calls_in_earlier_chunks_means_tool_calls() -> None:
    assert to(CHAT, SAMPLES["tool-call"]).reason == "tool_calls"
    assert to(MESSAGES, SAMPLES["tool-call"]).reason == "tool_use"


@pytest.mark.pitfall("P28")
def test_p28_max_tokens_after_a_call_is_no_normal_end() -> None:
    assert to(CHAT, chunk(call("f", {})), chunk(finish="MAX_TOKENS")).reason == "length"
    assert to(CHAT, chunk(call("f", {})), chunk(finish="SAFETY")).reason == "content_filter"


@pytest.mark.pitfall("P92", "B45")
def test_p92_a_malformed_call_is_an_error() -> None:
    """P92: and nothing has been committed, so that another provider may be asked."""
    for client in (CHAT, MESSAGES):
        out, relay = translate(GEMINI, client, [SAMPLES["quirk-malformed-call"]])
        assert JUDGES[client.name](out).error is not None
        assert isinstance(relay.fault, Refused)
        assert not relay.committed
    same = Passthrough(GEMINI, crossing())
    same.feed(SAMPLES["quirk-malformed-call"])
    same.close()
    assert (same.fault is not None, same.committed) == (True, False)


@pytest.mark.parametrize("word", ["MALFORMED_FUNCTION_CALL", "OTHER", "SOMETHING_NEW"])
def test_an_answer_that_went_wrong_after_output_ends_normally(word: str) -> None:
    assert to(CHAT, chunk(text("Hi")), chunk(finish=word)).reason == "stop"
    assert to(CHAT, chunk(call("f", {})), chunk(finish=word)).reason == "tool_calls"
    assert to(CHAT, chunk(thought("Hm")), chunk(finish=word)).error is not None


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("STOP", "stop"),
        ("MAX_TOKENS", "length"),
        *((word, "content_filter") for word in ("SAFETY", "RECITATION", "SPII", "LANGUAGE")),
        *((word, "content_filter") for word in ("BLOCKLIST", "PROHIBITED_CONTENT", "IMAGE_OTHER")),
        *((word, "content_filter") for word in ("IMAGE_SAFETY", "MODEL_ARMOR")),
    ],
)
def test_why_an_answer_ended(word: str, reason: str) -> None:
    assert to(CHAT, chunk(text("Hi"), finish=word)).reason == reason
    assert to(CHAT, chunk(candidate={"content": {}}, finish=word)).reason == reason


@pytest.mark.pitfall("P90")
def test_p90_a_blocked_prompt_is_filtered_content() -> None:
    blocked = sse({"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": usage(9, 0, 9)})
    found = to(CHAT, blocked)
    assert (found.text, found.reason) == ("", "content_filter")
    assert found.usage is not None
    assert found.usage["prompt_tokens"] == 9
    assert to(MESSAGES, blocked).reason == "refusal"
    observer = observed(GEMINI, blocked)
    assert (observer.finish_reason, observer.complete) == ("SAFETY", True)


@pytest.mark.pitfall("P89")
def test_p89_text_and_call_are_one_choice() -> None:
    found = to(CHAT, chunk(text("Let me see."), call("f", {"a": 1}), finish="STOP"))
    assert (found.text, [tool.value for tool in found.tools]) == ("Let me see.", [{"a": 1}])


@pytest.mark.pitfall("P93")
def test_p93_the_last_usage_counts() -> None:
    counted = [
        chunk(text("a"), usageMetadata=usage(12, 1, 13)),
        chunk(text("b"), usageMetadata=usage(12, 2, 14, cachedContentTokenCount=4)),
        chunk(finish="STOP", usageMetadata={"promptTokenCount": 12, "totalTokenCount": 15}),
    ]
    told = Usage(input_tokens=8, cache_read_tokens=4, output_tokens=2)
    assert read(GEMINI, b"".join(counted))[-2] == UsageUpdate(told)
    assert observed(GEMINI, b"".join(counted)).usage == told


@pytest.mark.parametrize(
    ("stated", "expected"),
    [
        (  # the first two are of translation rules §18.11
            usage(
                1000,
                50,
                1100,
                cachedContentTokenCount=400,
                thoughtsTokenCount=30,
                toolUsePromptTokenCount=20,
            ),
            Usage(620, 400, 0, 50, 30),
        ),
        (usage(10, 50, 60, thoughtsTokenCount=30), Usage(10, 0, 0, 20, 30)),
        (usage(5, 5, 358, thoughtsTokenCount=348), Usage(5, 0, 0, 5, 348)),  # P94
        (usage(7, 3), Usage(7, 0, 0, 3, 0)),  # P95
        (usage(100, 1, 101, cachedContentTokenCount=120), Usage(0, 120, 0, 1, 0)),
        (usage(-1, -1, -1, thoughtsTokenCount=-1, cachedContentTokenCount=-1), Usage()),
        ({"promptTokenCount": 3}, Usage(3)),
    ],
)
@pytest.mark.pitfall("P94", "P95")
def test_p94_p95_how_tokens_are_counted(stated: dict[str, Any], expected: Usage) -> None:
    """P94, P95; counts that contradict each other are clamped."""
    stream = chunk(text("x"), finish="STOP", usageMetadata=stated)
    assert read(GEMINI, stream)[-2] == UsageUpdate(expected)
    assert observed(GEMINI, stream).usage == expected
    found = to(CHAT, stream).usage
    assert found is not None
    assert found["total_tokens"] == expected.total_tokens


def test_usage_we_cannot_read_costs_no_text() -> None:
    found = to(CHAT, chunk(text("Hi"), usageMetadata={"promptTokenCount": "many"}), FINISH)
    assert (found.text, found.reason) == ("Hi", "stop")


FINISH = chunk(finish="STOP")


def test_state_before_a_call_ends_the_thought_before_it() -> None:
    events = read(GEMINI, chunk(thought("Hm."), call("f", {}, signature=STATE), finish="STOP"))
    assert ReasoningSignature(0, gsig()) in events
    assert [each.kind for each in events if isinstance(each, BlockStart)] == ["reasoning", "tool"]


def test_state_on_a_text_stands_after_it_and_parts_it_from_what_follows() -> None:
    """It often comes with the last words of a sentence, which belong to the others."""
    events = read(GEMINI, chunk(text("a"), text("b", STATE), text("c"), finish="STOP"))
    blocks = fold(events).blocks
    assert [(block.kind, block.text) for block in blocks] == [
        ("text", "ab"),
        ("reasoning", ""),
        ("text", "c"),
    ]
    assert blocks[1].opaque == gsig()


def test_state_on_a_thought_signs_it() -> None:
    events = read(GEMINI, chunk(thought("a") | {"thoughtSignature": STATE}, finish="STOP"))
    assert [(block.text, block.opaque) for block in fold(events).blocks] == [("a", gsig())]


def test_reasoning_of_a_turn_with_calls_is_remembered() -> None:
    """Also when the provider gave the call no id."""
    relay = translate(GEMINI, CHAT, [SAMPLES["quirk-calls-in-two-chunks"]])[1]
    part = Reasoning(text="", opaque=gsig(), text_offset=0)
    assert relay.remembered() == Remembered(("call_R0001_1", "call_R0001_2"), (part,))


@pytest.mark.pitfall("P115", "P116")
def test_arguments_are_taken_as_they_are_written() -> None:
    args = '{ "z": 9007199254740993, "a": "é\\u00e9" }'
    frame = chunk(call("f", {})).replace(b'"args": {}', b'"args": ' + args.encode())
    found = to(CHAT, frame, FINISH)
    assert found.tools[0].input == '{"z":9007199254740993,"a":"é\\u00e9"}'


@pytest.mark.parametrize("args", [{}, None])
@pytest.mark.pitfall("P34")
def test_p34_a_call_without_arguments(args: Any) -> None:
    assert to(CHAT, chunk(call("f", args)), FINISH).tools[0].input == "{}"
    assert to(MESSAGES, chunk({"functionCall": {"name": "f"}}), FINISH).tools[0].value == {}


def test_a_call_without_a_name_is_no_answer() -> None:
    relay = translate(GEMINI, CHAT, [chunk({"functionCall": {"args": {}}}), FINISH])[1]
    assert isinstance(relay.fault, Garbled)


@pytest.mark.pitfall("P113")
def test_names_and_custom_tools_come_back_as_the_client_declared_them() -> None:
    stream = chunk(call("bash_1", {"input": "ls -l"}), call("other", {}), finish="STOP")
    tools = to(CHAT, stream, tool_names={"bash_1": "Bash"}, custom_tools={"Bash"}).tools
    assert [(each.kind, each.name, each.input) for each in tools] == [
        ("custom", "Bash", "ls -l"),
        ("function", "other", "{}"),
    ]


def test_only_the_first_candidate_is_read() -> None:
    second = {"content": {"parts": [text("no")]}, "index": 1, "finishReason": "STOP"}
    value = answer(text("yes"))
    del value["candidates"][0]["index"]
    value["candidates"].insert(0, second)
    assert to(CHAT, sse(value), FINISH).text == "yes"


def test_parts_and_chunks_of_the_future_are_passed_over() -> None:
    stream = [
        chunk(text("a"), {"executableCode": {"code": "1"}}, {"new": {}}, text("b")),
        sse({"candidates": "soon"}),
        sse(["x"]),
        sse({}),
        FINISH,
    ]
    assert to(CHAT, *stream).text == "ab"


def test_a_reason_that_says_nothing_is_no_end() -> None:
    """Some servers send FINISH_REASON_UNSPECIFIED, null or "" in every chunk."""
    words = [chunk(text("a"), finish="FINISH_REASON_UNSPECIFIED")]
    words += [chunk(text("b"), candidate={"finishReason": each}) for each in ("", None)]
    found = to(CHAT, *words, FINISH)
    assert (found.text, found.reason) == ("abb", "stop")
    assert to(CHAT, *words).error is not None


@pytest.mark.pitfall("P31", "P32")
def test_content_after_the_finish_reason_is_kept() -> None:
    found = to(CHAT, chunk(text("a"), finish="STOP"), chunk(text("b")))
    assert (found.text, found.reason) == ("ab", "stop")


def test_done_of_other_formats_is_passed_over() -> None:
    assert to(CHAT, chunk(text("a"), finish="STOP"), DONE).reason == "stop"


@CLIENTS
@pytest.mark.parametrize("listed", [False, True])
@pytest.mark.pitfall("P15")
def test_p15_an_error_chunk_is_an_error(client: Format, listed: bool) -> None:
    """P15; in a list as well."""
    error = {"error": {"code": 429, "message": "Slow.", "status": "RESOURCE_EXHAUSTED"}}
    out, relay = translate(GEMINI, client, [chunk(text("a")), sse([error] if listed else error)])
    assert isinstance(relay.fault, Refused)
    assert (relay.fault.kind, relay.fault.upstream_status) == ("rate_limit", 429)
    assert relay.fault.in_stream
    assert relay.observer.failure is not None
    assert JUDGES[client.name](out).error["message"] == "Slow."


def test_an_error_that_says_its_status_by_name_only() -> None:
    failure = read(GEMINI, sse({"error": {"message": "m", "status": "UNAVAILABLE"}}))[-1]
    assert isinstance(failure, Failure)
    assert isinstance(failure.error, Refused)
    assert failure.error.upstream_status == 503


@CLIENTS
@pytest.mark.pitfall("P14")
def test_p14_a_cut_stream_is_an_error(client: Format) -> None:
    out, relay = translate(GEMINI, client, [chunk(text("a"))])
    assert isinstance(relay.fault, Garbled)
    assert JUDGES[client.name](out).error["message"] == CUT


def test_broken_json_is_an_error() -> None:
    relay = translate(GEMINI, CHAT, [chunk(text("a")), b'data: {"candidates":[\n\n'])[1]
    assert isinstance(relay.fault, Garbled)


def test_a_connection_lost_after_the_finish_reason_is_a_normal_end() -> None:
    relay = Translation(GEMINI, CHAT, crossing())
    out = relay.feed(chunk(text("a"), finish="STOP")) + relay.fail(Garbled("Lost."))
    assert (read_chat(out).reason, relay.fault) == ("stop", None)


@pytest.mark.parametrize(
    ("part", "committed"),
    [
        (text(""), False),
        (text("a"), True),
        (thought("a"), True),
        (call("f", {}), True),
        (text("", STATE), True),
        ({"inlineData": {"mimeType": "image/png", "data": "AA=="}}, True),
    ],
)
def test_the_first_content_commits(part: dict[str, Any], committed: bool) -> None:
    assert observed(GEMINI, chunk(part)).committed == committed
    assert not observed(GEMINI, chunk(part)).complete


# Citations

GROUNDING = {
    "webSearchQueries": ["q"],
    "groundingChunks": [
        {"web": {"uri": "https://a", "title": "A"}},
        {"web": {"uri": "https://b", "title": "B"}},
        {"retrievedContext": {}},
    ],
    "groundingSupports": [
        {
            "segment": {"startIndex": 7, "endIndex": 13, "text": "Zürich"[:5]},
            "groundingChunkIndices": [0, 1, 2, 9, -1],
        }
    ],
}


def segment(start: int, end: int, words: str | None = None, part: int | None = None) -> Any:
    told = {"startIndex": start, "endIndex": end, "text": words, "partIndex": part}
    return {
        "groundingChunks": [{"web": {"uri": "https://a", "title": "A"}}],
        "groundingSupports": [
            {
                "segment": {name: value for name, value in told.items() if value is not None},
                "groundingChunkIndices": [0],
            }
        ],
    }


def cited(stream: bytes) -> list[Any]:
    """(block, start, end) of all citations."""
    return [
        (each.index, each.citation.start, each.citation.end)
        for each in read(GEMINI, stream)
        if isinstance(each, CitationDelta)
    ]


def test_segments_are_bytes_and_citations_characters() -> None:
    stream = [
        chunk(text("In Zü")),
        chunk(text("rich 🌧 it rains.")),
        chunk(finish="STOP", candidate={"groundingMetadata": segment(3, 10, "Zürich")}),
    ]
    events = read(GEMINI, b"".join(stream))
    assert CitationDelta(0, Citation("https://a", "A", start=3, end=9)) in events
    found = to(CHAT, *stream)
    assert found.citations == [{"url": "https://a", "title": "A", "start_index": 3, "end_index": 9}]


def test_each_source_of_a_segment_is_a_citation() -> None:
    found = to(
        CHAT, chunk(text("0123456Zürich"), candidate={"groundingMetadata": GROUNDING}), FINISH
    )
    assert [(each["url"], each["start_index"], each["end_index"]) for each in found.citations] == [
        ("https://a", 7, 12),
        ("https://b", 7, 12),
    ]


def test_segments_count_from_the_start_of_their_part() -> None:
    """In a whole answer every part has a number; in a stream neighbours are one."""
    parts = [thought("Hm."), text("ab"), text("cd"), call("f", {}), text("ef")]
    whole = {"finish": "STOP"}
    for part, place in [(1, (1, 0, 1)), (2, (1, 2, 3)), (4, (3, 0, 1)), (0, (1, 0, 1))]:
        grounding = {"groundingMetadata": segment(0, 1, part=part)}
        assert cited(chunk(*parts, candidate=grounding, **whole)) == [place]
    streamed = b"".join(chunk(each) for each in [thought("a"), thought("b"), text("cd")])
    last = chunk(finish="STOP", candidate={"groundingMetadata": segment(1, 2, "d", part=1)})
    assert cited(streamed + last) == [(1, 1, 2)]


def test_words_count_for_more_than_numbers() -> None:
    for words, place in [("bc", (0, 1, 3)), ("xy", (0, None, None))]:
        grounding = {"groundingMetadata": segment(0, 2, words)}
        assert cited(chunk(text("abcd"), finish="STOP", candidate=grounding)) == [place]


@pytest.mark.parametrize("metadata", [None, {}, [], {"groundingSupports": [{}]}, "x"])
def test_grounding_we_cannot_read_costs_nothing(metadata: Any) -> None:
    stream = chunk(text("a"), finish="STOP", candidate={"groundingMetadata": metadata})
    assert to(CHAT, stream).text == "a"
    assert cited(stream) == []


# Writing


def stream(*events: Event, reason: Any = "stop", **changed: Any) -> Answer:
    """What a Gemini client puts together of the events of an answer."""
    all_events = [Start("id", "model"), *events, Finish(reason)]
    streamed = read_gemini(write(GEMINI, all_events, **changed))
    whole = read_whole_gemini(GEMINI.write_response(all_events, crossing(**changed)))
    assert streamed == whole
    return streamed


def tool(index: int, *pieces: str, id: str = "", custom: bool = False) -> list[Event]:
    deltas = [ToolInputDelta(index, piece) for piece in pieces]
    return [BlockStart(index, "tool", id, "f", custom), *deltas, BlockEnd(index)]


def reasoning(index: int, words: str = "", opaque: Opaque | None = None) -> list[Event]:
    events: list[Event] = [BlockStart(index, "reasoning")]
    events += [ReasoningDelta(index, words)] if words else []
    events += [ReasoningSignature(index, opaque)] if opaque else []
    return [*events, BlockEnd(index)]


def words(index: int, *pieces: str, cite: Citation | None = None) -> list[Event]:
    events: list[Event] = [BlockStart(index, "text")]
    events += [TextDelta(index, piece) for piece in pieces]
    events += [CitationDelta(index, cite)] if cite else []
    return [*events, BlockEnd(index)]


@PROVIDERS
@pytest.mark.pitfall("P50", "P51", "P52", "P53", "P54", "B42")
def test_p50_to_p54_what_gemini_clients_get_keeps_every_rule(case: Path) -> None:
    """P50 to P54: the judge has them all."""
    out, relay = translate(format_of(case), GEMINI, [(case / "upstream.sse").read_bytes()])
    found = read_gemini(out)
    assert (found.error is None) == (relay.fault is None)
    if relay.fault is None:
        said = fold(marked(read(format_of(case), (case / "upstream.sse").read_bytes())))
        assert found.text == "".join(block.text for block in said.of("text"))
        assert found.reasoning == "".join(block.text for block in said.of("reasoning"))
        assert [(each.id, each.name, each.value) for each in found.tools] == [
            (block.tool_id, block.tool_name, json.loads(block.text or "{}"))
            for block in said.of("tool")
        ]


@pytest.mark.pitfall("P54", "B38")
def test_p54_arguments_wait_until_they_are_whole() -> None:
    writer = GEMINI.writer(crossing())
    *before, end = [Start("", "m"), *tool(0, '{"a"', ":1}", id="call_1")]
    assert b"".join(writer.feed(event) for event in before) == b""
    chunk = json.loads(writer.feed(end).removeprefix(b"data: "))
    assert chunk["candidates"][0]["content"]["parts"] == [
        {"functionCall": {"id": "call_1", "name": "f", "args": {"a": 1}}}
    ]


def test_calls_side_by_side_keep_their_order() -> None:
    events = [
        BlockStart(0, "tool", "a", "f"),
        BlockStart(1, "tool", "b", "g"),
        ToolInputDelta(1, '{"n":2}'),
        BlockEnd(1),
        ToolInputDelta(0, '{"n":1}'),
        BlockEnd(0),
    ]
    assert [(each.id, each.value) for each in stream(*events).tools] == [
        ("a", {"n": 1}),
        ("b", {"n": 2}),
    ]


def test_arguments_on_several_lines_stay_in_their_record() -> None:
    assert stream(*tool(0, '{\n "a":\r\n 1\n}')).tools[0].value == {"a": 1}


@pytest.mark.parametrize(
    ("pieces", "value"),
    [([], {}), ([" "], {}), (["[1]"], {"value": [1]}), (["3"], {"value": 3})],
)
@pytest.mark.pitfall("P52")
def test_p52_arguments_are_always_an_object(pieces: list[str], value: Any) -> None:
    assert stream(*tool(0, *pieces)).tools[0].value == value


@pytest.mark.pitfall("B49")
def test_arguments_that_are_no_json_make_the_call_malformed() -> None:
    found = stream(*words(0, "Well."), *tool(1, '{"a":'), reason="tool_calls")
    assert (found.reason, found.tools, found.text) == ("MALFORMED_FUNCTION_CALL", [], "Well.")
    assert stream(*tool(0, '{"a":'), reason="length").reason == "MAX_TOKENS"


def test_a_custom_call_is_written_as_a_function() -> None:
    assert stream(*tool(0, "ls", custom=True)).tools[0].value == {"input": "ls"}


def test_calls_without_ids_get_some() -> None:
    tools = stream(*tool(0, "{}"), *tool(1, "{}"), reason="tool_calls").tools
    assert [each.id for each in tools] == ["call_R0001_0", "call_R0001_1"]


@pytest.mark.pitfall("P51", "P83", "B43")
def test_p51_state_goes_with_the_next_call_in_base64() -> None:
    """P51, P83: the first call only."""
    state = Opaque("sig", "s/+~", "acme", "m", "rs_1")
    events = [*reasoning(0, "Hm.", state), *words(1, "Well."), *tool(2), *tool(3)]
    found = stream(*events, reason="tool_calls")
    assert [unpacked(each) for each in found.states] == [
        {
            "v": 1,
            "issuer": "acme",
            "kind": "sig",
            "model": "m",
            "data": "s/+~",
            "item_id": "rs_1",
        }
    ]
    assert envelope.unpack_base64(found.states[0]) == state
    assert found.blocks == ["thought", "text", "call", "call"]
    parts = json.loads(
        GEMINI.write_response([Start("", "m"), *events, Finish("stop")], crossing())
    )["candidates"][0]["content"]["parts"]
    assert ["thoughtSignature" in part for part in parts] == [False, False, True, False]


def test_state_without_a_call_comes_last() -> None:
    found = stream(*reasoning(0, "Hm.", gsig()), *words(1, "Teal."))
    assert (found.blocks, len(found.states)) == (["thought", "text", "state"], 1)
    assert stream(*reasoning(0, "", gsig())).blocks == ["state"]


def test_state_before_other_state_keeps_its_place() -> None:
    events = [*reasoning(0, "a", gsig("A")), *reasoning(1, "b", gsig("B")), *tool(2)]
    found = stream(*events, reason="tool_calls")
    assert found.blocks == ["thought", "state", "thought", "call"]
    assert [unpacked(each)["data"] for each in found.states] == ["A", "B"]


def test_reasoning_is_hidden_from_clients_that_do_not_want_it() -> None:
    """Its state is not: they send it back."""
    found = stream(*reasoning(0, "Hm.", gsig()), *words(1, "Teal."), show_reasoning=False)
    assert (found.reasoning, found.text, len(found.states)) == ("", "Teal.", 1)


@pytest.mark.parametrize(
    ("reason", "word"),
    [
        ("stop", "STOP"),
        ("length", "MAX_TOKENS"),
        ("content_filter", "SAFETY"),
        ("refusal", "STOP"),
        ("pause", "STOP"),
        ("context_full", "MAX_TOKENS"),
    ],
)
def test_how_ends_are_told(reason: Any, word: str) -> None:
    assert stream(*words(0, "a"), reason=reason).reason == word


@pytest.mark.pitfall("P53", "B42")
def test_p53_the_last_chunk_has_parts_even_of_an_empty_answer() -> None:
    found = stream()
    assert (found.blocks, found.reason, found.model) == ([], "STOP", "model")


def test_usage_is_written_in_its_own_words() -> None:
    """Translation rules §13, worked example."""
    told = [Start("", "m"), UsageUpdate(Usage(100, 1000, 200, 100, 150)), Finish("stop")]
    assert read_gemini(write(GEMINI, told)).usage == {
        "promptTokenCount": 1300,
        "cachedContentTokenCount": 1000,
        "candidatesTokenCount": 100,
        "thoughtsTokenCount": 150,
        "totalTokenCount": 1550,
    }


def test_no_usage_becomes_an_estimate() -> None:
    found = stream(*words(0, "12345678"))
    assert found.usage is not None
    assert found.usage["totalTokenCount"] == 9 + 2


def test_a_refusal_is_text() -> None:
    events = [BlockStart(0, "refusal"), TextDelta(0, "I won't."), BlockEnd(0)]
    assert stream(*events, reason="refusal").text == "I won't."


def test_citations_are_written_in_bytes_of_their_part() -> None:
    found = stream(
        *reasoning(0, "Hm."),
        *words(1, "Zü", "rich ", cite=Citation("https://a", "A", start=0, end=6)),
        *words(2, "🌧!", cite=Citation("https://b", "B")),
        *words(3, "end", cite=Citation("https://a", "A", start=1)),
    )
    assert [(each["text"], each["start"], each["uri"]) for each in found.citations] == [
        ("Zürich", 0, "https://a"),
        ("🌧!", 8, "https://b"),
        ("nd", 14, "https://a"),
    ]


def test_citations_survive_both_ways() -> None:
    """What was read from bytes is written in the same ones."""
    grounding = {"groundingMetadata": segment(3, 10, "Zürich", part=0)}
    events = read(GEMINI, chunk(text("In Zürich."), finish="STOP", candidate=grounding))
    assert read_gemini(write(GEMINI, events)).citations == [
        {"text": "Zürich", "start": 3, "uri": "https://a", "title": "A"}
    ]


@pytest.mark.pitfall("P50")
def test_p50_a_keepalive_is_an_empty_text_part() -> None:
    """P50: and it commits nothing, nor does it say anything."""
    sent = json.loads(GEMINI.keepalive.removeprefix(b"data: "))
    assert sent == {
        "candidates": [{"content": {"role": "model", "parts": [{"text": ""}]}, "index": 0}]
    }
    assert GEMINI.keepalive.endswith(b"\n\n")
    assert not observed(GEMINI, GEMINI.keepalive).committed
    assert to(CHAT, GEMINI.keepalive, FINISH).text == ""
    assert (
        read_gemini(GEMINI.keepalive + write(GEMINI, [Start("", "m"), Finish("stop")])).text == ""
    )


@pytest.mark.pitfall("P22")
def test_p22_each_delta_is_written_at_once() -> None:
    relay = Translation(CHAT, GEMINI, crossing())
    relay.feed(ROLE)
    for piece in ("a", "b"):
        out = json.loads(relay.feed(chat_chunk(content=piece)).removeprefix(b"data: "))
        assert out["candidates"][0]["content"]["parts"] == [{"text": piece}]


@pytest.mark.pitfall("P38")
def test_p38_an_error_is_the_last_word() -> None:
    out, relay = translate(CHAT, GEMINI, [ROLE, chat_chunk(content="a")])
    found = read_gemini(out)
    assert found.error == {"code": 503, "message": CUT, "status": "UNAVAILABLE"}
    assert isinstance(relay.fault, Garbled)


@pytest.mark.pitfall("P06")
def test_p06_interleaved_chat_calls_reach_a_gemini_client_whole() -> None:
    frames = [
        chat_chunk(tool_calls=[chat_call(0, '{"n":', "a", "f"), chat_call(1, '{"n":', "b", "f")]),
        chat_chunk(tool_calls=[chat_call(1, "2}"), chat_call(0, "1}")]),
        chat_chunk("tool_calls") + DONE,
    ]
    found = read_gemini(translate(CHAT, GEMINI, [ROLE, *frames])[0])
    assert [each.value for each in found.tools] == [{"n": 1}, {"n": 2}]


def test_a_whole_answer_can_be_replayed_as_a_stream() -> None:
    events = CHAT.read_response(
        (Path(__file__).parent.parent / "samples/chat.tool-call.response.json").read_bytes(),
        crossing(),
    )
    found = read_gemini(b"".join(stream_of_events(GEMINI, crossing(), events)))
    assert [each.name for each in found.tools] == ["get_weather"]


# However a stream is cut or damaged


def ended(stream: bytes) -> bool:
    """Read without the package: a whole record says why the answer ended, none says error."""
    is_told = False
    for record in stream.replace(b"\r\n", b"\n").split(b"\n\n"):
        with suppress(ValueError):
            value = json.loads(record.partition(b"data:")[2])
            candidate = (value.get("candidates") or [{}])[0]
            if value.get("error") or candidate.get("finishMessage"):
                return False
            is_told |= bool(candidate.get("finishReason"))
    return is_told


@SAMPLE
@CLIENTS
@pytest.mark.pitfall("P39")
def test_p39_byte_by_byte_gives_the_same_bytes(client: Format, name: str) -> None:
    whole, _ = translate(GEMINI, client, [SAMPLES[name]])
    for end in (b"\n", b"\r\n", b"\r"):
        stream = SAMPLES[name].replace(b"\n", end)
        out, _ = translate(GEMINI, client, split(stream, range(len(stream))))
        assert out == whole


@SAMPLE
@CLIENTS
@pytest.mark.pitfall("P40")
def test_p40_a_stream_without_its_last_newline_is_the_same(client: Format, name: str) -> None:
    whole, _ = translate(GEMINI, client, [SAMPLES[name]])
    for missing in (1, 2):
        assert translate(GEMINI, client, [SAMPLES[name][:-missing]])[0] == whole


@DEPTHS
@SAMPLE
@pytest.mark.pitfall("P39")
def test_p39_any_cuts_between_chunks_give_the_same_bytes(name: str, depth: str) -> None:
    stream = SAMPLES[name]
    whole = {each.name: translate(GEMINI, each, [stream])[0] for each in (CHAT, MESSAGES)}

    @given(st.lists(st.integers(0, len(stream)), max_size=20), LINE_ENDS)
    def test(cuts: list[int], end: bytes) -> None:
        chunks = split(stream.replace(b"\n", end), cuts)
        for client in (CHAT, MESSAGES):
            assert translate(GEMINI, client, chunks)[0] == whole[client.name]
        relay = Passthrough(GEMINI, crossing())
        out = b"".join([relay.feed(each) for each in chunks]) + relay.close() + relay.tail()
        assert out == stream.replace(b"\n", end)

    test()


@SAMPLE
@pytest.mark.pitfall("P14", "P38")
def test_p14_p38_a_stream_cut_anywhere_ends_honestly(name: str) -> None:
    stream = SAMPLES[name]
    for at in range(len(stream) + 1):
        cut = stream[:at]
        complete = ended(cut)
        for client in (CHAT, MESSAGES):
            out, relay = translate(GEMINI, client, [cut])
            found = JUDGES[client.name](out)
            assert (found.error is None) == (relay.fault is None) == complete
        same = Passthrough(GEMINI, crossing())
        out = same.feed(cut) + same.close()
        assert (same.fault is None) == complete
        assert b'"error"' in out or complete or name == "quirk-malformed-call"


@PROVIDERS
@pytest.mark.pitfall("P39")
def test_p39_any_cuts_give_gemini_clients_the_same_bytes(case: Path) -> None:
    fmt, stream = format_of(case), (case / "upstream.sse").read_bytes()
    whole, _ = translate(fmt, GEMINI, [stream])

    @given(st.lists(st.integers(0, len(stream)), max_size=20), st.integers(0, len(stream)))
    def test(cuts: list[int], at: int) -> None:
        assert translate(fmt, GEMINI, split(stream, cuts))[0] == whole
        out, relay = translate(fmt, GEMINI, [stream[:at]])
        assert (read_gemini(out).error is None) == (relay.fault is None)

    assert translate(fmt, GEMINI, split(stream, range(len(stream))))[0] == whole
    test()


@DEPTHS
@SAMPLE
def test_damaged_streams_end_honestly(name: str, depth: str) -> None:
    """Frames lost, doubled, swapped, or with a value of another type."""
    frames = [each + b"\n\n" for each in SAMPLES[name].strip().split(b"\n\n")]

    @given(st.data())
    def test(data: st.DataObject) -> None:
        indices = st.integers(0, len(frames) - 1)
        chosen = [frames[i] for i in data.draw(st.lists(indices, min_size=1, max_size=6))]
        chosen = [damaged(data, each) if data.draw(st.booleans()) else each for each in chosen]
        stream = b"".join(chosen)
        for client in (CHAT, MESSAGES):
            out, relay = translate(GEMINI, client, [stream])
            assert (relay.fault is None) == out.endswith(client.done)
            JUDGES[client.name](out, sound=False)
        same = Passthrough(GEMINI, crossing())
        same.feed(stream)
        same.close()
        with suppress(Garbled):
            events = read(GEMINI, stream)
            if isinstance(events[-1], Finish):
                read_gemini(write(GEMINI, events), sound=False)

    test()


def damaged(data: st.DataObject, frame: bytes) -> bytes:
    """The frame with one of its values replaced."""
    value = json.loads(frame.removeprefix(b"data: "))
    places: list[tuple[Any, Any]] = []

    def walk(at: Any) -> None:
        if isinstance(at, dict | list):
            for key in list(at) if isinstance(at, dict) else range(len(at)):
                places.append((at, key))
                walk(at[key])

    walk(value)
    holder, key = data.draw(st.sampled_from(places))
    odd = [None, "", "x", 0, -1, 1.5, True, [], {}, [{}], "STOP", "text"]
    holder[key] = data.draw(st.sampled_from(odd))
    return sse(value)


# Random canonical answers

TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=("Cs",)), min_size=1, max_size=12)
PIECES = st.lists(TEXTS, min_size=1, max_size=3)
OBJECTS = st.dictionaries(TEXTS, st.integers() | TEXTS | st.none() | st.booleans(), max_size=3)
COUNTS = st.integers(0, 10**6)
USAGES = st.builds(Usage, COUNTS, COUNTS, st.just(0), COUNTS, COUNTS)
KINDS = ("text", "cited", "reasoning", "signed", "sealed", "tool", "custom", "malformed")


@st.composite
def blocks(draw: st.DrawFn, index: int, kind: str) -> list[Event]:
    match kind:
        case "tool":
            told = json.dumps(draw(OBJECTS), ensure_ascii=draw(st.booleans()), indent=1)
            middle = draw(st.integers(0, len(told)))
            return tool(index, told[:middle], told[middle:], id=f"call_{index}")
        case "custom":
            return tool(index, *draw(PIECES), id=f"call_{index}", custom=True)
        case "malformed":
            return tool(index, '{"a":', id=f"call_{index}")
        case "reasoning" | "signed" | "sealed":
            said = "" if kind == "sealed" else "".join(draw(PIECES))
            return reasoning(index, said, None if kind == "reasoning" else gsig(draw(TEXTS)))
        case "cited":
            pieces = draw(PIECES)
            start, end = sorted(draw(st.integers(0, len("".join(pieces)))) for _ in range(2))
            place = (start, end) if draw(st.booleans()) else (None, None)
            cite = Citation("https://a", draw(TEXTS), start=place[0], end=place[1])
            return words(index, *pieces, cite=cite)
        case _:
            return words(index, *draw(PIECES))


@st.composite
def answers(draw: st.DrawFn, kinds: Sequence[str] = KINDS) -> list[Event]:
    chosen = draw(st.lists(st.sampled_from(kinds), max_size=6))
    events: list[Event] = [Start("id", "model")]
    for index, kind in enumerate(chosen):
        events += draw(blocks(index, kind))
    events += [UsageUpdate(draw(USAGES))] if draw(st.booleans()) else []
    return [*events, Finish(draw(st.sampled_from(["stop", "length", "content_filter"])))]


@DEPTHS
@given(answers(), st.booleans())
def test_streamed_and_whole_answers_agree(
    depth: str, events: list[Event], show_reasoning: bool
) -> None:
    """And keep every rule."""
    options = {"show_reasoning": show_reasoning}
    streamed = read_gemini(write(GEMINI, events, **options))
    assert streamed == read_whole_gemini(GEMINI.write_response(events, crossing(**options)))
    said = fold(events)
    assert streamed.text == "".join(block.text for block in said.of("text"))
    assert [unpacked(each)["data"] for each in streamed.states] == [
        block.opaque.data for block in said.blocks if block.opaque
    ]


@DEPTHS
@CLIENTS
@given(answers(("text", "reasoning", "tool")), st.lists(st.integers(0, 10**6), max_size=10))
def test_any_answer_survives_translation(
    client: Format, depth: str, events: list[Event], cuts: list[int]
) -> None:
    out, relay = translate(GEMINI, client, split(write(GEMINI, events), cuts))
    found = JUDGES[client.name](out)
    said = fold(marked(events))
    assert relay.fault is None
    assert found.text == "".join(block.text for block in said.of("text"))
    assert found.reasoning == "".join(block.text for block in said.of("reasoning"))
    assert [(each.id, each.value) for each in found.tools] == [
        (block.tool_id, json.loads(block.text)) for block in said.of("tool")
    ]


@DEPTHS
@given(answers(("text", "cited", "signed")))
def test_gemini_reads_back_what_it_writes(depth: str, events: list[Event]) -> None:
    """Citations too, of a text that is still open when they come: they do so at the end."""
    once = write(GEMINI, events)
    stream, again = read_gemini(once), read_gemini(write(GEMINI, read(GEMINI, once)))
    assert (again.text, again.reasoning) == (stream.text, stream.reasoning)
    assert (again.reason, again.usage) == (stream.reason, stream.usage)
    if stream.blocks == ["text"] and all(each["text"] for each in stream.citations):
        assert again.citations == stream.citations


@DEPTHS
@CLIENTS
@given(answers(("text", "signed", "tool")), st.data())
def test_a_failure_anywhere_is_the_last_word(
    client: Format, depth: str, events: list[Event], data: st.DataObject
) -> None:
    stream = write(GEMINI, events)
    at = data.draw(st.integers(0, len(stream)))
    relay = Translation(GEMINI, client, crossing())
    out = relay.feed(stream[:at]) + relay.fail(PlexusError("Lost.")) + relay.tail()
    assert (JUDGES[client.name](out).error is None) == ended(stream[:at].rpartition(b"\n\n")[0])
    assert relay.feed(stream[at:]) + relay.close() + relay.tail() == b""
