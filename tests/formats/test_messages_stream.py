"""Messages streams as providers send them, and as we send them to clients."""

from typing import Any

import pytest
from support.golden import CHAT, MESSAGES, crossing, observed, read, translated, write
from support.strict_streams import Answer, read_chat, read_messages, records
from support.wire import (
    STOP,
    block,
    event,
    message_end,
    message_start,
    text_block,
    thinking_block,
    tool_block,
)

from plexus_proxy.errors import Garbled, Refused
from plexus_proxy.formats.events import (
    BlockEnd,
    BlockStart,
    Citation,
    CitationDelta,
    Event,
    Failure,
    Finish,
    FinishReason,
    Opaque,
    ReasoningDelta,
    ReasoningSignature,
    Start,
    TextDelta,
    ToolInputDelta,
    Usage,
    UsageUpdate,
)

END = message_end()
CALLS = message_end("tool_use")


def to_chat(*frames: bytes, **changed: Any) -> Answer:
    stream = b"".join([message_start(), *frames])
    return read_chat(translated(MESSAGES, CHAT, [stream], **changed)[0], include_usage=True)


def events(*frames: bytes, **changed: Any) -> list[Event]:
    return read(MESSAGES, b"".join([message_start(), *frames]), **changed)


# Reading


@pytest.mark.pitfall("P23", "B31")
def test_calls_count_from_zero_after_thinking_and_text() -> None:
    answer = to_chat(
        thinking_block(0, "r", "s"),
        text_block(1, "t"),
        tool_block(2, "a", "f", "{}"),
        tool_block(3, "b", "f", "{}"),
        CALLS,
    )
    assert [tool.id for tool in answer.tools] == ["a_gw", "b_gw"]  # of a turn with reasoning


@pytest.mark.pitfall("P24")
def test_calls_alone_count_from_zero_too() -> None:
    answer = to_chat(tool_block(0, "a", "f", "{}"), tool_block(1, "b", "f", "{}"), CALLS)
    assert [tool.id for tool in answer.tools] == ["a", "b"]


@pytest.mark.pitfall("P34")
def test_a_call_without_input_has_an_empty_object() -> None:
    for pieces in ((), ("",), ("", "")):
        assert to_chat(tool_block(0, "a", "f", *pieces), CALLS).tools[0].input == "{}"


def test_input_in_the_blocks_start_counts_if_nothing_follows() -> None:
    start = {"type": "tool_use", "id": "a", "name": "f", "input": {"big": 9007199254740993}}
    answer = to_chat(block(0, start), CALLS)
    assert answer.tools[0].input == '{"big":9007199254740993}'
    piece = {"type": "input_json_delta", "partial_json": '{"n":2}'}
    assert to_chat(block(0, start, piece), CALLS).tools[0].input == '{"n":2}'


def test_input_keeps_its_own_spelling() -> None:
    text = '{"z": 9007199254740993, "a": 1.0}'
    assert to_chat(tool_block(0, "a", "f", text[:9], text[9:]), CALLS).tools[0].input == text


def test_signatures_reach_chat_clients_beside_their_text() -> None:
    """Translation §18.3"""
    answer = to_chat(thinking_block(0, "r", "s"), text_block(1, "t"), END)
    assert (answer.reasoning, len(answer.states)) == ("r", 1)
    assert answer.states[0].startswith("gw1.")


def test_a_signature_may_come_in_pieces() -> None:
    deltas = [{"type": "signature_delta", "signature": each} for each in ("a", "b")]
    start = {"type": "thinking", "thinking": "", "signature": ""}
    found = [e for e in events(block(0, start, *deltas), END) if isinstance(e, ReasoningSignature)]
    assert found == [ReasoningSignature(0, Opaque("sig", "ab", "acme", "sample-1"))]


@pytest.mark.pitfall("P20")
def test_thinking_without_text_keeps_its_signature() -> None:
    answer = to_chat(thinking_block(0, "", "s"), text_block(1, "t"), END)
    assert (answer.reasoning, len(answer.states)) == ("", 1)


def test_redacted_thinking_keeps_its_data() -> None:
    redacted = block(0, {"type": "redacted_thinking", "data": "secret"})
    assert len(to_chat(redacted, text_block(1, "t"), END).states) == 1


@pytest.mark.pitfall("P111")
def test_server_tools_are_left_out() -> None:
    """P111: nobody could execute them."""
    server = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {}}
    result = {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []}
    piece = {"type": "input_json_delta", "partial_json": '{"query":"x"}'}
    answer = to_chat(
        text_block(0, "a"), block(1, server, piece), block(2, result), text_block(3, "b"), END
    )
    assert (answer.text, answer.tools, answer.reason) == ("ab", [], "stop")


def test_citations_become_annotations_of_their_block() -> None:
    cited = {
        "type": "web_search_result_location",
        "url": "https://a",
        "title": "A",
        "cited_text": "c",
        "encrypted_index": "e",
    }
    place = {"type": "char_location", "cited_text": "c", "document_index": 0}
    deltas = [
        {"type": "citations_delta", "citation": cited},
        {"type": "citations_delta", "citation": place},
        {"type": "text_delta", "text": "cd"},
    ]
    answer = to_chat(text_block(0, "ab"), block(1, {"type": "text", "text": ""}, *deltas), END)
    assert answer.citations == [
        {"start_index": 2, "end_index": 4, "title": "A", "url": "https://a"}
    ]


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("refusal", "content_filter"),
        ("pause_turn", "stop"),
        ("model_context_window_exceeded", "length"),
        ("brand_new", "stop"),
    ],
)
def test_stop_reasons_are_translated(said: str, reason: str) -> None:
    assert to_chat(text_block(0, "x"), message_end(said)).reason == reason


@pytest.mark.pitfall("P28")
def test_the_limit_is_not_masked_by_a_call() -> None:
    assert to_chat(tool_block(0, "a", "f", '{"a'), message_end("max_tokens")).reason == "length"


def test_a_matched_stop_sequence_is_kept() -> None:
    finish = events(text_block(0, "x"), message_end("stop_sequence", "END"))[-1]
    assert finish == Finish("stop", "END")


@pytest.mark.pitfall("P12")
def test_usage_is_replaced_never_added() -> None:
    start = message_start(input_tokens=81, cache_read_input_tokens=7, output_tokens=44)
    end = message_end(output_tokens=44, input_tokens=None, cache_read_input_tokens=None)
    expected = Usage(input_tokens=81, cache_read_tokens=7, output_tokens=44)
    assert UsageUpdate(expected) in read(MESSAGES, start + text_block(0, "x") + end)
    assert observed(MESSAGES, start + text_block(0, "x") + end).usage == expected


def test_several_message_deltas_are_merged() -> None:
    first = event("message_delta", delta={"stop_reason": None}, usage={"output_tokens": 3})
    second = event("message_delta", delta={"stop_reason": "max_tokens"}, usage={})
    answer = to_chat(text_block(0, "x"), first, second, STOP)
    assert answer.reason == "length"
    assert answer.usage is not None
    assert (answer.usage["prompt_tokens"], answer.usage["completion_tokens"]) == (5, 3)


@pytest.mark.pitfall("P109")
def test_thinking_tokens_are_a_part_of_the_output() -> None:
    end = message_end(output_tokens=120, output_tokens_details={"thinking_tokens": 60})
    usage = to_chat(text_block(0, "x"), end).usage
    assert usage is not None
    assert usage["completion_tokens"] == 120
    assert usage["completion_tokens_details"] == {"reasoning_tokens": 60}


@pytest.mark.pitfall("P108")
def test_cache_reads_and_writes_are_on_the_prompts_side() -> None:
    end = message_end(
        input_tokens=100, cache_read_input_tokens=1000, cache_creation_input_tokens=200
    )
    usage = to_chat(text_block(0, "x"), end).usage
    assert usage is not None
    assert (usage["prompt_tokens"], usage["completion_tokens"]) == (1300, 7)
    assert usage["prompt_tokens_details"] == {"cached_tokens": 1000, "cache_write_tokens": 200}


def test_a_forgotten_block_stop_is_made_up_for() -> None:
    stop = event("content_block_stop", index=0)
    frames = text_block(0, "a").removesuffix(stop) + tool_block(1, "t", "f", "{}") + CALLS
    found = events(frames)
    assert found.index(BlockEnd(0)) < found.index(BlockStart(1, "tool", "t", "f"))


@pytest.mark.pitfall("P22")
def test_a_delta_without_a_block_opens_one() -> None:
    delta = event("content_block_delta", index=0, delta={"type": "text_delta", "text": "x"})
    assert to_chat(delta, END).text == "x"


@pytest.mark.pitfall("P04")
def test_a_delta_of_another_kind_opens_its_own_block() -> None:
    start = {"type": "text", "text": ""}
    deltas = [
        {"type": "text_delta", "text": "a"},
        {"type": "thinking_delta", "thinking": "r"},
        {"type": "signature_delta", "signature": "s"},
        {"type": "input_json_delta", "partial_json": "{}"},
        {"type": "text_delta", "text": "b"},
    ]
    answer = to_chat(block(0, start, *deltas), END)
    assert (answer.text, answer.reasoning, len(answer.states)) == ("ab", "r", 1)
    assert answer.tools == []


def test_a_call_that_is_never_named_is_a_failure() -> None:
    for name in ("", None):
        start = {"type": "tool_use", "id": "a", "name": name, "input": {}}
        assert to_chat(block(0, start), CALLS).error


def test_a_block_that_cannot_be_read_after_the_finish_is_left_out() -> None:
    finish = message_end().removesuffix(STOP)
    for start in ({"type": "tool_use", "id": "a"}, {"type": "redacted_thinking", "data": 7}):
        assert to_chat(text_block(0, "x"), finish, block(1, start), STOP).reason == "stop"


def test_pings_and_unknown_events_mean_nothing() -> None:
    answer = to_chat(event("ping"), event("brand_new", index=3), text_block(0, "x"), END)
    assert answer.text == "x"


def test_unknown_deltas_and_blocks_mean_nothing() -> None:
    unknown = block(1, {"type": "hologram", "text": "no"}, {"type": "text_delta", "text": "no"})
    odd = block(0, {"type": "text", "text": ""}, {"type": "brand_new", "value": 1})
    assert to_chat(odd, unknown, text_block(2, "x"), END).text == "x"


@pytest.mark.pitfall("P21")
def test_null_texts_emit_nothing() -> None:
    null = block(0, {"type": "text", "text": None}, {"type": "text_delta", "text": None})
    assert to_chat(null, text_block(1, "x"), END).text == "x"


@pytest.mark.pitfall("P14")
def test_a_stream_cut_before_its_stop_reason_is_an_error() -> None:
    assert to_chat(text_block(0, "x")).error


def test_a_stream_without_message_stop_is_complete_with_a_stop_reason() -> None:
    assert to_chat(text_block(0, "x"), END.removesuffix(STOP)).reason == "stop"


def test_a_message_stop_without_a_reason_is_a_normal_end() -> None:
    assert to_chat(text_block(0, "x"), STOP).reason == "stop"


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("overloaded_error", "overloaded"),
        ("rate_limit_error", "rate_limit_exceeded"),
        ("invalid_request_error", None),
        ("api_error", "upstream_error"),
    ],
)
@pytest.mark.pitfall("P38")
def test_an_error_event_is_an_error_chunk(kind: str, code: str | None) -> None:
    error = event("error", error={"type": kind, "message": "Because."})
    answer = to_chat(text_block(0, "x"), error, END)
    assert answer.error is not None
    assert (answer.error["message"], answer.error["code"]) == ("Because.", code)


@pytest.mark.pitfall("P15")
def test_an_error_event_may_forget_its_type() -> None:
    error = b'event: error\ndata: {"error":{"type":"overloaded_error","message":"Busy."}}\n\n'
    answer = to_chat(text_block(0, "x"), error, END)
    assert answer.error is not None
    assert (answer.error["message"], answer.error["code"]) == ("Busy.", "overloaded")
    failure = observed(MESSAGES, error).failure
    assert failure is not None
    assert failure.kind == "overloaded"


def test_reading_broken_json_raises() -> None:
    with pytest.raises(Garbled):
        events(b"event: x\ndata: {\n\n")


def test_a_custom_tools_input_is_unwrapped() -> None:
    pieces = ('{"inp', 'ut":"print(1)"}')
    answer = to_chat(tool_block(0, "a", "py", *pieces), CALLS, custom_tools={"py"})
    assert (answer.tools[0].kind, answer.tools[0].input) == ("custom", "print(1)")


def test_a_model_that_does_not_wrap_a_custom_tools_input_is_taken_at_its_word() -> None:
    answer = to_chat(tool_block(0, "a", "py", "print(1)"), CALLS, custom_tools={"py"})
    assert answer.tools[0].input == "print(1)"


@pytest.mark.pitfall("P113")
def test_names_come_back_as_the_client_declared_them() -> None:
    answer = to_chat(tool_block(0, "a", "f_x", "{}"), CALLS, tool_names={"f_x": "f.x"})
    assert answer.tools[0].name == "f.x"


# Writing

OPENING: list[Event] = [Start("id", "claude", Usage(input_tokens=5))]
ENDING: list[Event] = [UsageUpdate(Usage(1, 2, 3, 4, 5)), Finish("stop")]


def written(*told: Event, end: list[Event] = ENDING, **changed: Any) -> Answer:
    return read_messages(write(MESSAGES, [*OPENING, *told, *end], **changed))


def text(index: int, *pieces: str) -> list[Event]:
    return [BlockStart(index, "text"), *(TextDelta(index, p) for p in pieces), BlockEnd(index)]


def thought(index: int, piece: str, opaque: Opaque | None = None) -> list[Event]:
    told: list[Event] = [BlockStart(index, "reasoning")]
    told += [ReasoningDelta(index, piece)] if piece else []
    told += [ReasoningSignature(index, opaque)] if opaque else []
    return [*told, BlockEnd(index)]


def tool(index: int, *pieces: str) -> list[Event]:
    deltas = [ToolInputDelta(index, piece) for piece in pieces]
    return [BlockStart(index, "tool", f"call_{index}", "f"), *deltas, BlockEnd(index)]


@pytest.mark.pitfall("P01", "P04", "P05")
def test_one_block_is_open_at_a_time_with_dense_indices() -> None:
    """P01, P04, P05: held by the validator."""
    answer = written(*thought(0, "r"), *tool(1, "{}"), *thought(2, "r"), *text(3, "t"))
    assert answer.blocks == ["thinking", "tool_use", "thinking", "text"]


@pytest.mark.pitfall("P06")
def test_blocks_open_side_by_side_are_written_one_after_the_other() -> None:
    answer = written(
        BlockStart(0, "tool", "a", "f"),
        BlockStart(1, "tool", "b", "f"),
        ToolInputDelta(1, '{"n":2}'),
        ToolInputDelta(0, '{"n":1}'),
        BlockStart(2, "text"),
        TextDelta(2, "t"),
        BlockEnd(1),
        BlockEnd(2),
        BlockEnd(0),
    )
    assert answer.blocks == ["tool_use", "tool_use", "text"]
    assert [each.value for each in answer.tools] == [{"n": 1}, {"n": 2}]
    assert answer.text == "t"


def test_any_number_of_blocks_may_wait() -> None:
    waiting = [event for index in range(1, 1000) for event in tool(index, "{}")]
    answer = written(BlockStart(0, "tool", "call_0", "f"), *waiting, BlockEnd(0))
    assert len(answer.tools) == 1000


def test_the_first_block_streams_while_others_wait() -> None:
    """Translation §18.2"""
    writer = MESSAGES.writer(crossing())
    for each in (*OPENING, BlockStart(0, "tool", "a", "f")):
        assert writer.feed(each)
    assert writer.feed(BlockStart(1, "tool", "b", "f")) == b""
    assert writer.feed(ToolInputDelta(0, "{"))
    assert writer.feed(ToolInputDelta(1, "{")) == b""
    assert writer.feed(ToolInputDelta(0, "}"))
    names = [name for name, _ in records(writer.feed(BlockEnd(0)))]
    assert names == ["content_block_stop", "content_block_start", "content_block_delta"]


@pytest.mark.pitfall("P09", "P11")
def test_message_start_states_an_estimate() -> None:
    for estimate, stated in ((9, 9), (0, 1)):
        stream = write(
            MESSAGES, [Start("id", "m"), *text(0, "x"), *ENDING], estimated_input_tokens=estimate
        )
        usage = read_messages(stream).first_usage
        assert usage is not None
        assert usage["input_tokens"] == stated


def test_message_start_states_what_the_provider_knows() -> None:
    usage = written(*text(0, "x")).first_usage
    assert usage is not None
    assert usage["input_tokens"] == 5


@pytest.mark.pitfall("P08", "P11")
def test_message_delta_states_the_totals() -> None:
    assert written(*text(0, "x")).usage == {
        "input_tokens": 1,
        "cache_creation_input_tokens": 3,
        "cache_read_input_tokens": 2,
        "output_tokens": 9,
        "output_tokens_details": {"thinking_tokens": 5},
    }


@pytest.mark.pitfall("P10")
def test_every_event_is_named() -> None:
    names = [name for name, _ in records(write(MESSAGES, [*OPENING, *text(0, "x"), *ENDING]))]
    assert names == [
        "message_start",
        "ping",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]


@pytest.mark.pitfall("P19")
def test_the_signature_comes_before_its_blocks_stop() -> None:
    """P19: held by the validator."""
    answer = written(*thought(0, "r", Opaque("sig", "s")), *text(1, "x"))
    assert (answer.reasoning, len(answer.states)) == ("r", 1)


@pytest.mark.pitfall("P20")
def test_a_signature_without_text_keeps_its_block() -> None:
    answer = written(*thought(0, "", Opaque("sig", "s")), *text(1, "x"))
    assert answer.blocks == ["thinking", "text"]


def test_redacted_thinking_is_a_block_of_its_own() -> None:
    answer = written(*thought(0, "", Opaque("redacted", "s")), *text(1, "x"))
    assert answer.blocks == ["redacted_thinking", "text"]


def test_encrypted_reasoning_stands_in_a_signature() -> None:
    answer = written(*thought(0, "r", Opaque("enc", "s", "p")), *text(1, "x"))
    assert answer.blocks == ["thinking", "text"]
    assert answer.states[0].startswith("gw1.")


def test_hidden_reasoning_keeps_its_state() -> None:
    signed = thought(0, "r", Opaque("sig", "s"))
    answer = written(*signed, *thought(1, "r"), *text(2, "x"), show_reasoning=False)
    assert (answer.blocks, answer.reasoning) == (["thinking", "text"], "")


@pytest.mark.pitfall("P21")
def test_empty_blocks_leave_no_trace() -> None:
    assert written(*text(0), *text(1, ""), *thought(2, ""), *text(3, "x")).blocks == ["text"]


def test_an_empty_answer_has_one_empty_block() -> None:
    assert written().blocks == ["text"]


def test_a_call_without_an_id_gets_one() -> None:
    answer = written(BlockStart(0, "tool", "", "f"), BlockEnd(0))
    assert answer.tools[0].id == "call_R0001_0"


@pytest.mark.parametrize(
    ("reason", "stop_reason"),
    [
        ("stop", "end_turn"),
        ("length", "max_tokens"),
        ("tool_calls", "end_turn"),
        ("content_filter", "refusal"),
        ("refusal", "refusal"),
        ("pause", "pause_turn"),
        ("context_full", "model_context_window_exceeded"),
    ],
)
@pytest.mark.pitfall("P18")
def test_finish_reasons_are_written(reason: FinishReason, stop_reason: str) -> None:
    """P18: tool_use never without a call."""
    assert written(*text(0, "x"), end=[Finish(reason)]).reason == stop_reason


@pytest.mark.pitfall("P17", "P28", "B32")
def test_a_normal_end_with_calls_is_tool_use() -> None:
    assert written(*tool(0, "{}"), end=[Finish("stop")]).reason == "tool_use"
    assert written(*tool(0, '{"a'), end=[Finish("length")]).reason == "max_tokens"


def test_a_stop_sequence_is_named() -> None:
    answer = written(*text(0, "x"), end=[Finish("stop", "END")])
    assert (answer.reason, answer.stop_sequence) == ("stop_sequence", "END")


def test_citations_stand_in_their_block() -> None:
    cited = CitationDelta(0, Citation("https://a", "A", "c"))
    answer = written(BlockStart(0, "text"), cited, TextDelta(0, "x"), cited, BlockEnd(0))
    assert answer.citations == [
        {
            "type": "web_search_result_location",
            "url": "https://a",
            "title": "A",
            "encrypted_index": "",
            "cited_text": "c",
        }
    ]


@pytest.mark.pitfall("P14")
def test_a_failure_ends_the_stream_at_once() -> None:
    refused = Refused("Overloaded", upstream_status=529, kind="overloaded")
    answer = written(*text(0, "x")[:2], end=[Failure(refused)])
    assert answer.error == {"type": "overloaded_error", "message": "Overloaded"}


@pytest.mark.pitfall("P22")
def test_each_delta_is_written_at_once() -> None:
    writer = MESSAGES.writer(crossing())
    for each in [*OPENING, *text(0, "a", "b"), *thought(1, "r"), *tool(2, "{", "}")]:
        opens_later = isinstance(each, BlockStart) and each.kind != "tool"
        assert bool(writer.feed(each)) != opens_later


# Observing


def test_only_content_commits() -> None:
    quiet = observed(MESSAGES, message_start() + event("ping") + b": hi\n\n")
    assert not quiet.committed
    assert quiet.usage == Usage(input_tokens=5, output_tokens=1)
    assert not observed(MESSAGES, message_start() + text_block(0)).committed
    assert not observed(MESSAGES, message_start() + text_block(0, " \n")).committed
    assert observed(MESSAGES, message_start() + text_block(0, " \n", "a")).committed
    assert observed(MESSAGES, message_start() + END).committed


def test_complete_and_ended_are_told_apart() -> None:
    without_stop = observed(MESSAGES, message_start() + END.removesuffix(STOP))
    assert (without_stop.complete, without_stop.ended) == (True, False)
    assert without_stop.finish_reason == "end_turn"
    assert observed(MESSAGES, message_start() + END).ended


def test_calls_and_characters_are_counted() -> None:
    server = {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}
    observer = observed(
        MESSAGES,
        thinking_block(0, "1234", "signature")
        + text_block(1, "äöü")
        + block(2, server)
        + tool_block(3, "a", "f", '{"a":', "1}")
        + CALLS,
    )
    assert (observer.tool_calls, observer.output_chars) == (1, 4 + 3 + 7)


def test_negative_counts_are_clamped() -> None:
    end = message_end(
        input_tokens=-1,
        output_tokens=-1,
        cache_read_input_tokens=-1,
        cache_creation_input_tokens=-1,
        output_tokens_details={"thinking_tokens": -1},
    )
    assert observed(MESSAGES, message_start() + end).usage == Usage()


def test_an_error_event_is_seen() -> None:
    error = event("error", error={"type": "overloaded_error", "message": "Overloaded"})
    failure = observed(MESSAGES, error).failure
    assert failure is not None
    assert (failure.kind, failure.upstream_status, failure.in_stream) == ("overloaded", 529, True)
