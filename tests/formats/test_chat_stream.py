"""Chat Completions streams as providers send them, and as we send them to clients."""

import json
from typing import Any

import pytest
from support.golden import CHAT, MESSAGES, crossing, observed, read, translated, write
from support.strict_streams import Answer, read_chat, read_messages, records
from support.wire import DONE, ROLE, call, chunk, chunk_with, data, usage_chunk

from plexus_proxy.errors import Garbled, Refused
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

STOP = chunk("stop") + DONE
CALLS = chunk("tool_calls") + DONE


def to_messages(*frames: bytes, **changed: Any) -> Answer:
    return read_messages(translated(CHAT, MESSAGES, [ROLE, *frames], **changed)[0])


def kinds(*frames: bytes) -> list[str]:
    return [event.kind for event in read(CHAT, b"".join(frames)) if isinstance(event, BlockStart)]


# Reading


@pytest.mark.pitfall("P07")
def test_text_in_the_role_chunk_is_kept() -> None:
    stream = chunk(role="assistant", content="Hi") + chunk(content=" there") + STOP
    assert read_messages(translated(CHAT, MESSAGES, [stream])[0]).text == "Hi there"


@pytest.mark.pitfall("P33")
def test_text_and_finish_in_one_chunk_are_both_kept() -> None:
    answer = to_messages(chunk("length", content="cut"), DONE)
    assert (answer.text, answer.reason) == ("cut", "max_tokens")


@pytest.mark.pitfall("P32")
def test_content_after_a_chunk_with_usage_is_kept() -> None:
    told = {"prompt_tokens": 3, "completion_tokens": 1}
    more = {"prompt_tokens": 3, "completion_tokens": 2}
    answer = to_messages(
        chunk_with({"usage": told}, content="a"),
        chunk_with({"usage": more}, content="b"),
        STOP,
    )
    assert answer.text == "ab"
    assert answer.usage is not None
    assert answer.usage["output_tokens"] == 2


@pytest.mark.pitfall("P13", "P31")
def test_usage_after_the_finish_reaches_the_message_delta() -> None:
    answer = to_messages(chunk(content="x"), chunk("stop"), usage_chunk(81, 44), DONE)
    assert answer.usage is not None
    assert (answer.usage["input_tokens"], answer.usage["output_tokens"]) == (81, 44)


@pytest.mark.pitfall("P107")
def test_cached_tokens_are_not_counted_twice() -> None:
    details = {"prompt_tokens_details": {"cached_tokens": 1000, "cache_write_tokens": 200}}
    usage = to_messages(chunk("stop"), usage_chunk(1300, 250, **details), DONE).usage
    assert usage == {
        "input_tokens": 100,
        "cache_read_input_tokens": 1000,
        "cache_creation_input_tokens": 200,
        "output_tokens": 250,
    }


def test_contradictory_cache_counts_are_clamped() -> None:
    details = {"prompt_tokens_details": {"cached_tokens": 120}}
    usage = to_messages(chunk("stop"), usage_chunk(100, 1, **details), DONE).usage
    assert usage is not None
    assert (usage["input_tokens"], usage["cache_read_input_tokens"]) == (0, 120)


@pytest.mark.pitfall("P08")
def test_no_usage_becomes_an_estimate() -> None:
    usage = to_messages(chunk(content="12345678"), STOP).usage
    assert usage is not None
    assert (usage["input_tokens"], usage["output_tokens"]) == (9, 2)


@pytest.mark.pitfall("P02", "B35")
def test_empty_ids_and_names_continue_a_call() -> None:
    answer = to_messages(
        chunk(tool_calls=[call(0, "", "call_1", "f")]),
        chunk(tool_calls=[call(0, '{"a":', "", "")]),
        chunk(tool_calls=[call(0, "1}", "", "")]),
        CALLS,
    )
    assert [(tool.id, tool.value) for tool in answer.tools] == [("call_1", {"a": 1})]


@pytest.mark.pitfall("P03", "B36")
def test_an_id_in_every_piece_is_one_call() -> None:
    pieces = [chunk(tool_calls=[call(0, each, "call_1")]) for each in ('{"a"', ":1}")]
    answer = to_messages(chunk(tool_calls=[call(0, "", "call_1", "f")]), *pieces, CALLS)
    assert [tool.value for tool in answer.tools] == [{"a": 1}]


@pytest.mark.pitfall("P25", "B37")
def test_a_name_in_every_piece_is_said_once() -> None:
    pieces = [chunk(tool_calls=[call(0, each, "call_1", "f")]) for each in ('{"a"', ":1}")]
    answer = to_messages(*pieces, CALLS)
    assert [(tool.name, tool.value) for tool in answer.tools] == [("f", {"a": 1})]


def test_another_id_and_name_at_the_same_index_are_another_call() -> None:
    frames = [chunk(tool_calls=[call(0, f'{{"n":{n}}}', f"call_{n}", "f")]) for n in (1, 2)]
    answer = to_messages(*frames, CALLS)
    assert [(tool.id, tool.value) for tool in answer.tools] == [
        ("call_1", {"n": 1}),
        ("call_2", {"n": 2}),
    ]


def test_pieces_without_index_go_by_their_id() -> None:
    answer = to_messages(
        chunk(tool_calls=[call(None, '{"n":', "a", "f"), call(None, '{"n":', "b", "g")]),
        chunk(tool_calls=[call(None, "1}", "a"), call(None, "2}", "b")]),
        CALLS,
    )
    assert [(tool.name, tool.value) for tool in answer.tools] == [("f", {"n": 1}), ("g", {"n": 2})]


def test_pieces_without_index_and_id_continue_the_last_call() -> None:
    answer = to_messages(
        chunk(tool_calls=[call(None, '{"n":', "a", "f")]),
        chunk(tool_calls=[call(None, "1}")]),
        CALLS,
    )
    assert [tool.value for tool in answer.tools] == [{"n": 1}]


def test_calls_without_index_and_id_are_told_apart_when_whole() -> None:
    frames = [chunk(tool_calls=[call(None, f'{{"n":{n}}}', None, "f")]) for n in (1, 2)]
    answer = to_messages(*frames, CALLS)
    assert [tool.value for tool in answer.tools] == [{"n": 1}, {"n": 2}]


def test_another_name_is_another_call_without_index_and_id() -> None:
    answer = to_messages(
        chunk(tool_calls=[call(None, "", None, "f")]),
        chunk(tool_calls=[call(None, "", None, "g")]),
        CALLS,
    )
    assert [tool.name for tool in answer.tools] == ["f", "g"]


def test_pieces_may_lose_their_index() -> None:
    answer = to_messages(
        chunk(tool_calls=[call(0, '{"n":', "a", "f"), call(1, '{"n":', "b", "f")]),
        chunk(tool_calls=[call(None, "1}", "a"), call(None, "2}", "b")]),
        CALLS,
    )
    assert [tool.value for tool in answer.tools] == [{"n": 1}, {"n": 2}]


@pytest.mark.pitfall("P06")
def test_interleaved_pieces_are_not_mixed() -> None:
    answer = to_messages(
        chunk(tool_calls=[call(0, "", "a", "f")]),
        chunk(tool_calls=[call(1, "", "b", "f")]),
        chunk(tool_calls=[call(0, '{"n":')]),
        chunk(tool_calls=[call(1, '{"n":')]),
        chunk(tool_calls=[call(0, "1}")]),
        chunk(tool_calls=[call(1, "2}")]),
        CALLS,
    )
    assert [(tool.id, tool.value) for tool in answer.tools] == [("a", {"n": 1}), ("b", {"n": 2})]


def test_arguments_given_as_an_object_are_taken_as_written() -> None:
    answer = to_messages(chunk(tool_calls=[call(0, {"big": 9007199254740993}, "a", "f")]), CALLS)
    assert answer.tools[0].value == {"big": 9007199254740993}


def test_arguments_before_the_name_are_kept() -> None:
    answer = to_messages(
        chunk(tool_calls=[call(0, '{"a":', "a")]),
        chunk(tool_calls=[call(0, "1}", None, "f")]),
        CALLS,
    )
    assert answer.tools[0].value == {"a": 1}


def test_a_call_that_is_never_named_is_a_failure() -> None:
    assert to_messages(chunk(tool_calls=[call(0, "{}", "a")]), CALLS).error


def test_an_id_that_is_missing_is_minted() -> None:
    answer = to_messages(chunk(tool_calls=[call(0, "{}", None, "f")]), CALLS)
    assert answer.tools[0].id == "call_R0001_0"


@pytest.mark.pitfall("P113")
def test_names_come_back_as_the_client_declared_them() -> None:
    answer = to_messages(
        chunk(tool_calls=[call(0, "{}", "a", "f_x")]), CALLS, tool_names={"f_x": "f.x"}
    )
    assert answer.tools[0].name == "f.x"


def test_the_old_function_call_is_a_tool_call() -> None:
    answer = to_messages(
        chunk(function_call={"name": "f", "arguments": ""}),
        chunk(function_call={"arguments": '{"a":1}'}),
        chunk("function_call"),
        DONE,
    )
    assert (answer.tools[0].value, answer.reason) == ({"a": 1}, "tool_use")


@pytest.mark.pitfall("P17", "B32")
def test_stop_with_calls_is_tool_use() -> None:
    assert to_messages(chunk(tool_calls=[call(0, "{}", "a", "f")]), STOP).reason == "tool_use"


@pytest.mark.pitfall("P18", "B34")
def test_tool_calls_without_a_call_is_a_normal_end() -> None:
    assert to_messages(chunk(content="x", tool_calls=[]), CALLS).reason == "end_turn"


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("length", "max_tokens"),
        ("content_filter", "refusal"),
        ("max_tokens", "max_tokens"),
        ("eos", "end_turn"),
    ],
)
def test_finish_reasons_are_translated(said: str, reason: str) -> None:
    assert to_messages(chunk(content="x"), chunk(said), DONE).reason == reason


@pytest.mark.pitfall("P28")
def test_length_after_a_call_stays_length() -> None:
    frames = chunk(tool_calls=[call(0, '{"a', "a", "f")]), chunk("length"), DONE
    assert to_messages(*frames).reason == "max_tokens"


def test_a_refusal_is_text_with_its_own_reason() -> None:
    answer = to_messages(chunk(refusal="I will"), chunk(refusal=" not."), STOP)
    assert (answer.text, answer.reason) == ("I will not.", "refusal")


@pytest.mark.pitfall("P21", "P26")
def test_null_and_empty_deltas_emit_nothing() -> None:
    null = chunk_with({"choices": [{"index": 0, "delta": None, "finish_reason": None}]})
    answer = to_messages(null, chunk(content=None), chunk(content=""), chunk(content="x"), STOP)
    assert (answer.text, answer.blocks) == ("x", ["text"])


def test_a_first_chunk_without_choices_is_no_answer() -> None:
    preamble = data({"choices": [], "id": "", "model": "", "prompt_filter_results": []})
    events = read(CHAT, preamble + ROLE + chunk(content="x") + STOP)
    assert events[0] == Start("chatcmpl-1", "gpt")


def test_chunks_without_choices_are_tolerated() -> None:
    assert to_messages(data({"id": "x"}), data({"obfuscation": "y"}), STOP).reason == "end_turn"


@pytest.mark.pitfall("P36", "B56")
def test_reasoning_is_read_in_all_spellings() -> None:
    detail = [{"type": "reasoning.text", "text": "c", "index": 0}]
    for delta in ({"reasoning_content": "c"}, {"reasoning": "c"}, {"reasoning_details": detail}):
        assert to_messages(chunk(**delta), STOP).reasoning == "c"


@pytest.mark.pitfall("P35")
def test_reasoning_said_in_several_spellings_is_read_once() -> None:
    detail = [{"type": "reasoning.text", "text": "c", "index": 0}]
    answer = to_messages(
        chunk(reasoning_content="c", reasoning="c", reasoning_details=detail), STOP
    )
    assert answer.reasoning == "c"


@pytest.mark.pitfall("P35")
def test_reasoning_repeated_beside_its_signature_is_read_once() -> None:
    detail = [{"type": "reasoning.text", "text": "ab", "index": 0, "signature": "s"}]
    for between in (b"", chunk(content="text")):
        answer = to_messages(
            chunk(reasoning_content="a"),
            chunk(reasoning_content="b"),
            between,
            chunk(reasoning_details=detail),
            STOP,
        )
        assert answer.reasoning == "ab"
        assert len(answer.states) == 1


@pytest.mark.pitfall("P35")
def test_reasoning_of_one_block_repeated_beside_its_signature_is_read_once() -> None:
    """P35: an earlier block, which nothing has signed, is not repeated."""
    detail = [{"type": "reasoning.text", "text": "b", "index": 1, "signature": "s"}]
    answer = to_messages(
        chunk(reasoning_content="a"),
        chunk(content="text"),
        chunk(reasoning_content="b"),
        chunk(reasoning_details=detail),
        STOP,
    )
    assert answer.blocks == ["thinking", "text", "thinking"]
    assert (answer.reasoning, len(answer.states)) == ("ab", 1)


@pytest.mark.pitfall("P04")
def test_each_change_of_kind_is_a_new_block() -> None:
    frames = [
        ROLE,
        chunk(reasoning="r"),
        chunk(tool_calls=[call(0, "{}", "a", "f")]),
        chunk(reasoning="r"),
        chunk(content="t"),
        CALLS,
    ]
    assert kinds(*frames) == ["reasoning", "tool", "reasoning", "text"]
    assert to_messages(*frames[1:]).blocks == ["thinking", "tool_use", "thinking", "text"]


def test_citations_are_counted_from_their_block() -> None:
    cited = {"url": "https://a", "title": "A", "start_index": 3, "end_index": 5}
    frames = [
        chunk(content="abc"),
        chunk(reasoning="r"),
        chunk(content="de"),
        chunk(annotations=[{"type": "url_citation", "url_citation": cited}]),
        STOP,
    ]
    found = [each for each in read(CHAT, b"".join(frames)) if isinstance(each, CitationDelta)]
    assert found == [CitationDelta(2, Citation("https://a", "A", start=0, end=2))]


def test_other_choices_are_not_mixed_in() -> None:
    other = {"choices": [{"index": 1, "delta": {"content": "no"}, "finish_reason": None}]}
    assert to_messages(chunk(content="a"), chunk_with(other), chunk(content="b"), STOP).text == "ab"


@pytest.mark.pitfall("P14")
def test_a_stream_cut_before_its_finish_is_an_error() -> None:
    answer = to_messages(chunk(content="half"))
    assert answer.error == {
        "type": "api_error",
        "message": "The provider's stream ended before the answer was complete.",
    }


def test_a_stream_without_done_is_complete_once_it_has_finished() -> None:
    assert to_messages(chunk(content="x"), chunk("stop")).reason == "end_turn"


def test_done_without_a_finish_reason_ends_an_answer_but_not_nothing() -> None:
    assert to_messages(chunk(content="x"), DONE).reason == "end_turn"
    assert to_messages(DONE).error


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"message": "slow down", "type": "rate_limit_error"}, "rate_limit_error"),
        ({"message": "busy", "code": 503}, "overloaded_error"),
        ({"message": "oops", "type": "server_error"}, "api_error"),
        ("oops", "api_error"),
    ],
)
@pytest.mark.pitfall("P15")
def test_an_error_chunk_is_an_error_event_of_the_same_kind(error: Any, kind: str) -> None:
    answer = to_messages(chunk(content="x"), data({"error": error}), STOP)
    assert answer.error is not None
    assert answer.error["type"] == kind


@pytest.mark.parametrize("error", [None, {}, "", False])
def test_an_empty_error_is_none(error: Any) -> None:
    assert to_messages(chunk_with({"error": error}, content="x"), STOP).text == "x"
    assert observe(chunk_with({"error": error}, content="x")).failure is None


def test_shapes_we_do_not_know_are_skipped() -> None:
    assert to_messages(data([1]), data({"choices": "?"}), chunk(content="x"), STOP).text == "x"


def test_what_is_no_json_is_an_error() -> None:
    assert to_messages(chunk(content="x"), b"data: <html>\n\n", STOP).error


def test_reading_broken_json_raises() -> None:
    with pytest.raises(Garbled):
        read(CHAT, b"data: {\n\n")


# Writing

OPENING: list[Event] = [Start("id", "gpt")]
ENDING: list[Event] = [UsageUpdate(Usage(1, 2, 3, 4, 5)), Finish("stop")]


def written(*events: Event, **changed: Any) -> Answer:
    stream = write(CHAT, [*OPENING, *events, *ENDING], **changed)
    return read_chat(stream, include_usage=changed.get("include_usage", True))


def tool(index: int, *pieces: str, custom: bool = False) -> list[Event]:
    deltas = [ToolInputDelta(index, piece) for piece in pieces]
    return [BlockStart(index, "tool", f"call_{index}", "f", custom), *deltas, BlockEnd(index)]


def text(index: int, *pieces: str) -> list[Event]:
    return [BlockStart(index, "text"), *(TextDelta(index, p) for p in pieces), BlockEnd(index)]


@pytest.mark.pitfall("P23", "P24", "B31")
def test_calls_count_from_zero_whatever_comes_before() -> None:
    """P23, P24: held by the validator."""
    thought = [BlockStart(0, "reasoning"), ReasoningDelta(0, "r"), BlockEnd(0)]
    answer = written(*thought, *text(1, "t"), *tool(2, "{}"), *tool(3, "{}"))
    assert [each.id for each in answer.tools] == ["call_2", "call_3"]
    assert len(written(*tool(0, "{}"), *tool(1, "{}")).tools) == 2


@pytest.mark.pitfall("P34")
def test_a_call_without_arguments_gets_an_empty_object() -> None:
    assert written(*tool(0)).tools[0].input == "{}"
    assert written(*tool(0, "", "")).tools[0].input == "{}"


def test_a_custom_call_keeps_its_text() -> None:
    answer = written(*tool(0, "print", "(1)", custom=True))
    assert (answer.tools[0].kind, answer.tools[0].input) == ("custom", "print(1)")


@pytest.mark.pitfall("P29")
def test_usage_stands_alone_between_finish_and_done() -> None:
    stream = write(CHAT, [*OPENING, *text(0, "x"), UsageUpdate(Usage(3, 4)), *ENDING])
    *_, finish, usage, done = [text for _, text in records(stream)]
    assert done == "[DONE]"
    assert json.loads(finish)["choices"][0]["finish_reason"] == "stop"
    assert json.loads(usage)["choices"] == []
    assert json.loads(usage)["usage"]["total_tokens"] > 0


@pytest.mark.pitfall("P30")
def test_usage_is_sent_only_when_asked_for() -> None:
    assert written(*text(0, "x"), include_usage=False).usage is None


@pytest.mark.pitfall("P29")
def test_usage_has_the_sums_of_the_buckets() -> None:
    usage = written(*text(0, "x")).usage
    assert usage == {
        "prompt_tokens": 6,
        "completion_tokens": 9,
        "total_tokens": 15,
        "prompt_tokens_details": {"cached_tokens": 2, "cache_write_tokens": 3},
        "completion_tokens_details": {"reasoning_tokens": 5},
    }


def test_reasoning_is_hidden_from_clients_that_want_none() -> None:
    opaque = Opaque("sig", "s")
    thought = [BlockStart(0, "reasoning"), ReasoningDelta(0, "r"), ReasoningSignature(0, opaque)]
    answer = written(*thought, BlockEnd(0), *text(1, "x"), show_reasoning=False)
    assert (answer.reasoning, answer.states, answer.text) == ("", [], "x")


def test_citations_are_counted_over_the_whole_text() -> None:
    cited = CitationDelta(1, Citation("https://a", "A", start=1, end=2))
    answer = written(
        *text(0, "abc"), BlockStart(1, "text"), TextDelta(1, "def"), cited, BlockEnd(1)
    )
    assert answer.citations == [
        {"start_index": 4, "end_index": 5, "title": "A", "url": "https://a"}
    ]


def test_clients_of_the_old_functions_get_one_function_call() -> None:
    answer = written(*tool(0, '{"a":', "1}"), *tool(1, "{}"), legacy_functions=True)
    assert [each.value for each in answer.tools] == [{"a": 1}]
    assert answer.reason == "function_call"


@pytest.mark.pitfall("P38")
def test_a_failure_ends_the_stream_without_finish_and_done() -> None:
    refused = Refused("Overloaded", upstream_status=529, kind="overloaded")
    answer = read_chat(write(CHAT, [*OPENING, *text(0, "x"), Failure(refused)]))
    assert answer.error == {
        "message": "Overloaded",
        "type": "server_error",
        "param": None,
        "code": "overloaded",
    }


@pytest.mark.pitfall("P22")
def test_each_delta_is_written_at_once() -> None:
    writer = CHAT.writer(crossing())
    for event in [*OPENING, *text(0, "a", "b")[:3], *tool(1, "{", "}")[:3]]:
        assert bool(writer.feed(event)) == (event != BlockStart(0, "text"))


@pytest.mark.pitfall("P37")
def test_every_chunk_has_the_same_identity() -> None:
    stream = write(CHAT, [*OPENING, *text(0, "x"), *ENDING])
    ids = {json.loads(data)["id"] for _, data in records(stream) if data != "[DONE]"}
    assert ids == {"chatcmpl-R0001"}


# Observing


def observe(*frames: bytes) -> Any:
    return observed(CHAT, b"".join(frames))


def test_the_role_chunk_does_not_commit() -> None:
    preamble = data({"choices": [], "usage": None})
    assert not observe(preamble, ROLE, b": keep-alive\n\n", chunk(content=None)).committed
    for frame in (
        chunk(content="x"),
        chunk(reasoning="x"),
        chunk(refusal="x"),
        chunk(tool_calls=[call(0, "", "a", "f")]),
        chunk(function_call={"name": "f"}),
        chunk("stop"),
    ):
        assert observe(ROLE, frame).committed


@pytest.mark.parametrize(
    "frame",
    [
        usage_chunk(3, 4),
        chunk_with({"usage": {"prompt_tokens": 3, "completion_tokens": 4}}, "stop"),
        chunk_with({"x_groq": {"usage": {"prompt_tokens": 3, "completion_tokens": 4}}}, "stop"),
        data(
            {
                "choices": [
                    {"delta": {}, "usage": {"prompt_tokens": 3, "completion_tokens": 4}},
                ]
            }
        ),
    ],
    ids=["own chunk", "finish chunk", "x_groq", "choice"],
)
@pytest.mark.pitfall("B57")
def test_usage_is_found_wherever_it_stands(frame: bytes) -> None:
    assert observe(ROLE, frame, DONE).usage == Usage(input_tokens=3, output_tokens=4)


@pytest.mark.parametrize(
    "cached",
    [
        {"prompt_tokens_details": {"cached_tokens": 2}},
        {"cached_tokens": 2},
        {"prompt_cache_hit_tokens": 2},
    ],
)
def test_older_spellings_of_cached_tokens_are_read(cached: dict[str, Any]) -> None:
    usage = observe(usage_chunk(3, 4, **cached)).usage
    assert usage == Usage(input_tokens=1, cache_read_tokens=2, output_tokens=4)


@pytest.mark.pitfall("P12")
def test_the_last_usage_counts() -> None:
    frames = [usage_chunk(3, 1), usage_chunk(3, 4), chunk_with({"usage": None}, content="x")]
    assert observe(*frames).usage == Usage(input_tokens=3, output_tokens=4)


def test_usage_without_counts_takes_nothing_back() -> None:
    usage = observe(usage_chunk(3, 4), chunk_with({"usage": {}}, content="x")).usage
    assert usage == Usage(input_tokens=3, output_tokens=4)


def test_negative_counts_are_clamped() -> None:
    details = {
        "prompt_tokens_details": {"cached_tokens": -1, "cache_write_tokens": -1},
        "completion_tokens_details": {"reasoning_tokens": -1},
    }
    assert observe(usage_chunk(-1, -1, **details)).usage == Usage()


def test_complete_and_ended_are_told_apart() -> None:
    finished = observe(ROLE, chunk("stop"))
    assert (finished.complete, finished.ended, finished.finish_reason) == (True, False, "stop")
    ended = observe(ROLE, chunk(content="x"), DONE)
    assert (ended.complete, ended.ended, ended.finish_reason) == (True, True, None)
    assert not observe(ROLE, DONE).complete


def test_calls_are_counted_not_their_pieces() -> None:
    frames = [
        chunk(tool_calls=[call(0, "{", "a", "f"), call(1, "{", "b", "f")]),
        chunk(tool_calls=[call(0, "}", "a"), call(1, "}")]),
    ]
    assert observe(*frames).tool_calls == 2


def test_pieces_without_index_and_id_are_no_calls_of_their_own() -> None:
    frames = [
        chunk(tool_calls=[call(None, "{", "a", "f")]),
        chunk(tool_calls=[call(None, "}")]),
        chunk(tool_calls=[call(None, "{}", "b", "f")]),
    ]
    assert observe(*frames).tool_calls == 2


def test_output_is_counted_in_characters() -> None:
    frames = [
        chunk(content="äöü"),
        chunk(reasoning="1234"),
        chunk(refusal="no"),
        chunk(tool_calls=[call(0, '{"a":1}', "a", "f")]),
    ]
    assert observe(*frames).output_chars == 3 + 4 + 2 + 7


def test_signatures_are_no_output() -> None:
    signed = [{"type": "reasoning.text", "text": "ab", "index": 0, "signature": "s" * 99}]
    assert observe(chunk(reasoning_details=signed)).output_chars == 2
    repeated = [chunk(reasoning="ab"), chunk(reasoning_details=signed)]
    assert observe(*repeated).output_chars == 2
