"""Responses streams as servers send them, and as we send them to clients."""

import json
from typing import Any

import pytest
from support.golden import CHAT, MESSAGES, RESPONSES, crossing, observed, read, translated, write
from support.strict_responses import read_responses
from support.strict_streams import read_chat, read_messages, records
from support.wire import ROLE, chunk, usage_chunk
from support.wire import call as chat_call

from plexus_proxy.errors import Garbled, Refused
from plexus_proxy.formats import envelope
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
from plexus_proxy.formats.relay import Passthrough

DONE = b"data: [DONE]\n\n"
USAGE = {
    "input_tokens": 30,
    "input_tokens_details": {"cached_tokens": 10, "cache_write_tokens": 5},
    "output_tokens": 9,
    "output_tokens_details": {"reasoning_tokens": 4},
    "total_tokens": 39,
}


def event(kind: str, **fields: Any) -> bytes:
    value = json.dumps({"type": kind} | fields).encode()
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), value)


def response(status: str = "in_progress", **fields: Any) -> dict[str, Any]:
    return {"id": "resp_1", "model": "gpt", "status": status, "output": [], **fields}


CREATED = event("response.created", response=response())


def completed(**fields: Any) -> bytes:
    return event("response.completed", response=response("completed", **fields))


def added(index: int, kind: str, **fields: Any) -> bytes:
    return event("response.output_item.added", output_index=index, item={"type": kind, **fields})


def done(index: int, kind: str, **fields: Any) -> bytes:
    return event("response.output_item.done", output_index=index, item={"type": kind, **fields})


def text_delta(text: str, index: int = 0, part: int = 0) -> bytes:
    return event("response.output_text.delta", output_index=index, content_index=part, delta=text)


def function(**fields: Any) -> dict[str, Any]:
    return {"id": "fc_1", "call_id": "call_1", "name": "f", "arguments": "", **fields}


def texts(events: list[Event]) -> str:
    return "".join(each.text for each in events if isinstance(each, TextDelta))


def inputs(events: list[Event]) -> list[str]:
    found: dict[int, str] = {}
    for each in events:
        if isinstance(each, BlockStart) and each.kind == "tool":
            found[each.index] = ""
        elif isinstance(each, ToolInputDelta):
            found[each.index] += each.text
    return list(found.values())


# What servers send


@pytest.mark.parametrize(
    "stream",
    [
        CREATED + text_delta("Hi") + text_delta("!") + completed(),
        CREATED
        + added(0, "message", content=[])
        + event("response.output_text.done", output_index=0, content_index=0, text="Hi!")
        + completed(),
        CREATED
        + done(0, "message", content=[{"type": "output_text", "text": "Hi!"}])
        + completed(),
        CREATED
        + completed(
            output=[{"type": "message", "content": [{"type": "output_text", "text": "Hi!"}]}]
        ),
        completed(
            output=[{"type": "message", "content": [{"type": "output_text", "text": "Hi!"}]}]
        ),
        CREATED
        + text_delta("Hi")
        + event("response.output_text.done", output_index=0, content_index=0, text="Hi!")
        + done(0, "message", content=[{"type": "output_text", "text": "Hi!"}])
        + completed(
            output=[{"type": "message", "content": [{"type": "output_text", "text": "Hi!"}]}]
        ),
    ],
    ids=["deltas", "done", "item", "response", "response alone", "all of them"],
)
def test_a_text_is_told_once_wherever_the_server_tells_it(stream: bytes) -> None:
    events = read(RESPONSES, stream)
    assert texts(events) == "Hi!"
    assert events[-1] == Finish("stop")
    assert [type(each) for each in events if isinstance(each, BlockStart | BlockEnd)] == [
        BlockStart,
        BlockEnd,
    ]


@pytest.mark.parametrize(
    "rest",
    [
        event("response.function_call_arguments.delta", output_index=0, delta='{"a":1}'),
        event("response.function_call_arguments.done", output_index=0, arguments='{"a":1}'),
        done(0, "function_call", **function(arguments='{"a":1}')),
        event("response.function_call_arguments.delta", output_index=0, delta='{"a"')
        + event("response.function_call_arguments.done", output_index=0, arguments='{"a":1}')
        + done(0, "function_call", **function(arguments='{"a":1}')),
    ],
    ids=["delta", "done", "item", "all of them"],
)
def test_arguments_are_told_once(rest: bytes) -> None:
    events = read(RESPONSES, CREATED + added(0, "function_call", **function()) + rest + completed())
    assert inputs(events) == ['{"a":1}']
    start = next(each for each in events if isinstance(each, BlockStart))
    assert (start.tool_id, start.tool_name, start.custom) == ("call_1", "f", False)
    assert events[-1] == Finish("tool_calls")


@pytest.mark.pitfall("P48", "B22")
def test_p48_parallel_calls_are_told_apart_by_their_output_index() -> None:
    stream = (
        CREATED
        + added(0, "function_call", **function(call_id="a"))
        + added(1, "function_call", **function(call_id="b"))
        + event("response.function_call_arguments.delta", output_index=1, delta='{"b":')
        + event("response.function_call_arguments.delta", output_index=0, delta='{"a":1}')
        + event("response.function_call_arguments.delta", output_index=1, delta="2}")
        + completed()
    )
    assert inputs(read(RESPONSES, stream)) == ['{"a":1}', '{"b":2}']


@pytest.mark.pitfall("P48", "B22")
@pytest.mark.parametrize("names", ["id alone", "index repeated", "ids that change"])
def test_interleaved_calls_stay_apart_however_they_are_named(names: str) -> None:
    def place(number: int, piece: int) -> dict[str, Any]:
        match names:
            case "id alone":
                return {"item_id": f"fc_{number}"}
            case "index repeated":
                return {"item_id": f"fc_{number}", "output_index": 0}
            case _:
                return {"item_id": f"fc_{number}_{piece}", "output_index": number}

    def item(number: int, piece: int, **fields: Any) -> dict[str, Any]:
        item_id = place(number, piece)["item_id"]
        return {"type": "function_call"} | function(id=item_id, call_id=f"c{number}", **fields)

    def send(kind: str, number: int, piece: int, **fields: Any) -> bytes:
        return event(f"response.{kind}", **place(number, piece), **fields)

    stream = CREATED
    for number in (0, 1):
        stream += send("output_item.added", number, 0, item=item(number, 0))
    for piece, (number, text) in enumerate([(0, '{"a":'), (1, '{"b"'), (0, "1}"), (1, ":2}")]):
        stream += send("function_call_arguments.delta", number, 1 + piece, delta=text)
    items = [item(0, 7, arguments='{"a":1}'), item(1, 7, arguments='{"b":2}')]
    for number in (0, 1):
        stream += send("output_item.done", number, 7, item=items[number])
    stream += completed(output=items)
    assert inputs(read(RESPONSES, stream)) == ['{"a":1}', '{"b":2}']


@pytest.mark.pitfall("P44", "P48", "B23")
@pytest.mark.parametrize("is_done", [True, False], ids=["done", "not done"])
def test_a_final_response_that_leaves_items_out_repeats_nothing(is_done: bool) -> None:
    """A call told twice would be made twice."""
    call = {"type": "function_call"} | function(arguments='{"a":1}')
    message = {"type": "message", "id": "msg_1", "content": [{"type": "output_text", "text": "Hi"}]}
    stream = (
        CREATED
        + added(0, "reasoning", id="rs_1")
        + event("response.reasoning_text.delta", output_index=0, content_index=0, delta="hm")
        + text_delta("Hi", 1)
        + added(2, "function_call", **function())
        + event("response.function_call_arguments.delta", output_index=2, delta='{"a":1}')
    )
    if is_done:
        stream += event("response.output_item.done", output_index=2, item=call)
    events = read(RESPONSES, stream + completed(output=[message, call]))
    assert (texts(events), inputs(events)) == ("Hi", ['{"a":1}'])
    assert events[-1] == Finish("tool_calls")


@pytest.mark.pitfall("B23")
def test_items_that_only_the_final_response_tells_are_told() -> None:
    first, second = ({"type": "function_call"} | function(id=f"fc_{n}", call_id=n) for n in "ab")
    done = event("response.output_item.done", output_index=0, item=first | {"arguments": "{}"})
    output = [second | {"arguments": "[1]"}, first | {"arguments": "{}"}]
    events = read(RESPONSES, CREATED + done + completed(output=output))
    starts = [each.tool_id for each in events if isinstance(each, BlockStart)]
    assert (starts, inputs(events)) == (["a", "b"], ["{}", "[1]"])


@pytest.mark.pitfall("B21")
def test_a_fragment_that_is_json_by_itself_is_a_fragment() -> None:
    pieces = ['{"code":"before ', "{}", ' after"}']
    stream = CREATED + added(0, "function_call", **function())
    for piece in pieces:
        stream += event("response.function_call_arguments.delta", output_index=0, delta=piece)
    assert inputs(read(RESPONSES, stream + completed())) == ["".join(pieces)]


@pytest.mark.pitfall("P49")
def test_custom_calls_are_custom() -> None:
    item = {"id": "ctc_1", "call_id": "c", "name": "sh", "input": ""}
    stream = (
        CREATED
        + added(0, "custom_tool_call", **item)
        + event("response.custom_tool_call_input.delta", output_index=0, delta="ls")
        + event("response.custom_tool_call_input.done", output_index=0, input="ls -l")
        + completed()
    )
    events = read(RESPONSES, stream)
    assert inputs(events) == ["ls -l"]
    assert any(isinstance(each, BlockStart) and each.custom for each in events)


def test_summaries_are_paragraphs_and_the_state_comes_from_the_finished_item() -> None:
    """Vector 18.6; what the added item held of the state is not complete."""
    stream = (
        CREATED
        + added(0, "reasoning", id="rs_1", encrypted_content="half")
        + event(
            "response.reasoning_summary_text.delta", output_index=0, summary_index=0, delta="one"
        )
        + event(
            "response.reasoning_summary_text.delta", output_index=0, summary_index=1, delta="two"
        )
        + done(0, "reasoning", id="rs_1", encrypted_content="whole")
        + completed()
    )
    events = read(RESPONSES, stream)
    assert "".join(each.text for each in events if isinstance(each, ReasoningDelta)) == "one\n\ntwo"
    assert [each.opaque for each in events if isinstance(each, ReasoningSignature)] == [
        Opaque("enc", "whole", "acme", "sample-1", "rs_1")
    ]


@pytest.mark.pitfall("P35")
def test_raw_reasoning_is_not_told_beside_its_summary() -> None:
    """P35 of this format."""
    stream = (
        CREATED
        + event("response.reasoning_text.delta", output_index=0, content_index=0, delta="raw")
        + event(
            "response.reasoning_summary_text.delta", output_index=0, summary_index=0, delta="sum"
        )
        + completed()
    )
    found = [each.text for each in read(RESPONSES, stream) if isinstance(each, ReasoningDelta)]
    assert found == ["raw"]


def test_refusals_and_citations() -> None:
    annotation = {"type": "url_citation", "url": "https://e.com", "title": "E", "start_index": 0}
    stream = (
        CREATED
        + text_delta("Cited")
        + event(
            "response.output_text.annotation.added",
            output_index=0,
            content_index=0,
            annotation_index=0,
            annotation={**annotation, "end_index": 5},
        )
        + event("response.refusal.delta", output_index=1, content_index=0, delta="No.")
        + completed()
    )
    events = read(RESPONSES, stream)
    assert [each.citation for each in events if isinstance(each, CitationDelta)] == [
        Citation("https://e.com", "E", start=0, end=5)
    ]
    assert [each.kind for each in events if isinstance(each, BlockStart)] == ["text", "refusal"]
    assert events[-1] == Finish("refusal")


@pytest.mark.parametrize(
    ("end", "reason"),
    [
        ({"reason": "max_output_tokens"}, "length"),
        ({"reason": "content_filter"}, "content_filter"),
        ({"reason": "steered"}, "length"),
        (None, "length"),
    ],
)
@pytest.mark.pitfall("P47", "B20")
def test_p47_an_incomplete_answer_says_why(end: Any, reason: str) -> None:
    stream = CREATED + text_delta("Hi")
    stream += event("response.incomplete", response=response("incomplete", incomplete_details=end))
    assert read(RESPONSES, stream)[-1] == Finish(reason)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "failed",
    [
        event(
            "response.failed",
            response=response(
                "failed", error={"code": "rate_limit_exceeded", "message": "slow down"}
            ),
        ),
        event("error", code="rate_limit_exceeded", message="slow down", param=None),
        event("error", error={"code": "rate_limit_exceeded", "message": "slow down"}),
        b'data: {"error":{"code":"rate_limit_exceeded","message":"slow down"}}\n\n',
    ],
    ids=["failed", "flat", "nested", "bare"],
)
@pytest.mark.pitfall("P47", "B20")
def test_p47_an_error_is_an_error_in_every_shape(failed: bytes) -> None:
    events = read(RESPONSES, CREATED + failed)
    assert isinstance(events[-1], Failure)
    error = events[-1].error
    assert isinstance(error, Refused)
    assert (error.kind, error.message, error.in_stream) == ("rate_limit", "slow down", True)
    observer = observed(RESPONSES, CREATED + failed)
    assert observer.failure is not None
    assert not observer.committed


@pytest.mark.pitfall("B20")
def test_a_failed_answer_keeps_its_usage() -> None:
    failed = response("failed", error={"code": "server_error", "message": "broken"}, usage=USAGE)
    stream = CREATED + text_delta("Hi") + event("response.failed", response=failed)
    whole = RESPONSES.observer()
    whole.body(json.dumps(failed).encode())
    for observer in (observed(RESPONSES, stream), whole):
        assert observer.failure is not None
        assert not observer.complete
        assert observer.usage is not None
        assert (observer.usage.output_tokens, observer.usage.reasoning_tokens) == (5, 4)


@pytest.mark.pitfall("P14")
def test_a_stream_without_its_terminal_event_was_cut() -> None:
    """P14 of this format, also after [DONE]."""
    for stream in (CREATED + text_delta("Hi"), CREATED + text_delta("Hi") + DONE, b""):
        last = read(RESPONSES, stream)[-1]
        assert isinstance(last, Failure)
        assert isinstance(last.error, Garbled)


def test_a_call_without_a_name_is_garbled() -> None:
    with pytest.raises(Garbled):
        read(RESPONSES, CREATED + added(0, "function_call", **function(name="")))


def test_hosted_tools_leave_no_trace() -> None:
    stream = (
        CREATED
        + added(0, "file_search_call", id="fs_1")
        + event("response.file_search_call.searching", output_index=0, item_id="fs_1")
        + done(0, "file_search_call", id="fs_1")
        + text_delta("found", 1)
        + completed()
    )
    assert [type(each).__name__ for each in read(RESPONSES, stream)] == [
        "Start",
        "BlockStart",
        "TextDelta",
        "BlockEnd",
        "Finish",
    ]


@pytest.mark.pitfall("P49", "B26")
def test_items_the_client_executes_pass_a_provider_of_its_own_format_untouched() -> None:
    item = {"id": "ts_1", "call_id": "c", "execution": "client", "arguments": {"q": 1}}
    whole = response("completed", output=[{"type": "tool_search_call"} | item])
    stream = (
        CREATED
        + added(0, "tool_search_call", **item)
        + done(0, "tool_search_call", **item)
        + event("response.completed", response=whole)
    )
    body = json.dumps(whole).encode()
    observer = RESPONSES.observer()
    observer.body(body)
    assert (observer.complete, observer.failure) == (True, None)
    assert read(RESPONSES, stream)[-1] == Finish("stop")
    relay = Passthrough(RESPONSES, crossing())
    assert relay.feed(stream) + relay.close() == stream
    assert (relay.fault, relay.committed) == (None, True)


def test_half_an_emoji_does_not_end_the_stream() -> None:
    stream = CREATED + text_delta("Hi") + text_delta("\ud83d") + completed()
    assert b"\\ud83d" in stream
    events = read(RESPONSES, stream)
    assert (texts(events), events[-1]) == ("Hi\ufffd", Finish("stop"))
    assert observed(RESPONSES, stream).failure is None


def test_usage_in_disjoint_buckets() -> None:
    stream = CREATED + text_delta("Hi") + completed(usage=USAGE)
    expected = Usage(
        input_tokens=15,
        cache_read_tokens=10,
        cache_write_tokens=5,
        output_tokens=5,
        reasoning_tokens=4,
    )
    assert UsageUpdate(expected) in read(RESPONSES, stream)
    observer = observed(RESPONSES, stream)
    assert observer.usage == expected
    assert (observer.finish_reason, observer.complete, observer.ended) == ("completed", True, True)


def test_what_commits_a_stream() -> None:
    assert not observed(RESPONSES, CREATED + added(0, "reasoning", id="rs_1")).committed
    assert observed(RESPONSES, CREATED + text_delta("x")).committed
    assert observed(RESPONSES, CREATED + added(0, "function_call", **function())).committed


# What clients get


def written(*events: Event, **changed: Any) -> bytes:
    return write(RESPONSES, [Start("id", "model"), *events], **changed)


def text_block(index: int, text: str) -> list[Event]:
    return [BlockStart(index, "text"), TextDelta(index, text), BlockEnd(index)]


def tool_block(index: int, arguments: str, tool_id: str = "call_1") -> list[Event]:
    start = BlockStart(index, "tool", tool_id, "f")
    return [start, ToolInputDelta(index, arguments), BlockEnd(index)]


def last_response(stream: bytes) -> dict[str, Any]:
    return json.loads(records(stream)[-1][1])["response"]


@pytest.mark.parametrize(
    ("reason", "end", "status"),
    [
        ("stop", "response.completed", "completed"),
        ("tool_calls", "response.completed", "completed"),
        ("refusal", "response.completed", "completed"),
        ("pause", "response.completed", "completed"),
        ("length", "response.incomplete", "incomplete"),
        ("context_full", "response.incomplete", "incomplete"),
        ("content_filter", "response.incomplete", "incomplete"),
    ],
)
@pytest.mark.pitfall("P41", "P42", "P43", "P44", "B19", "B20")
def test_p41_p42_one_terminal_event_for_every_end(
    reason: FinishReason, end: str, status: str
) -> None:
    """P41, P42: what was cut is told as incomplete, and only that."""
    stream = written(*text_block(0, "a"), *tool_block(1, "{}"), *text_block(2, "b"), Finish(reason))
    read_responses(stream)
    assert [
        name for name, _ in records(stream) if name.startswith("response.") and name.count(".") == 1
    ][-1] == end
    final = last_response(stream)
    assert final["status"] == status
    assert [each["status"] for each in final["output"]] == ["completed", "completed", status]


@pytest.mark.pitfall("P42", "B20")
def test_p42_a_call_that_was_cut_is_incomplete() -> None:
    stream = written(*text_block(0, "a"), *tool_block(1, '{"a'), Finish("length"))
    read_responses(stream)
    assert [each["status"] for each in last_response(stream)["output"]] == [
        "completed",
        "incomplete",
    ]


@pytest.mark.pitfall("P45")
def test_p45_ids_of_items_and_calls_differ() -> None:
    stream = written(*tool_block(0, "{}"), *tool_block(1, "{}", ""), Finish("stop"))
    first, second = last_response(stream)["output"]
    assert (first["id"], first["call_id"]) == ("fc_R0001_0", "call_1")
    assert (second["id"], second["call_id"]) == ("fc_R0001_1", "call_R0001_1")


@pytest.mark.pitfall("P34")
def test_a_call_without_arguments_says_so_in_a_delta_too() -> None:
    """P34 of this format."""
    stream = written(BlockStart(0, "tool", "c", "f"), BlockEnd(0), Finish("stop"))
    assert read_responses(stream).tools[0].input == "{}"


def test_neighbouring_texts_share_a_message_and_others_do_not() -> None:
    stream = written(
        *text_block(0, "a"), *text_block(1, "b"), *tool_block(2, "{}"), *text_block(3, "c"),
        Finish("stop"),
    )  # fmt: skip
    answer = read_responses(stream)
    assert answer.blocks == ["message", "function_call", "message"]
    parts = [each["text"] for each in last_response(stream)["output"][0]["content"]]
    assert parts == ["a", "b"]


def test_empty_blocks_leave_no_items() -> None:
    stream = written(
        BlockStart(0, "reasoning"), BlockEnd(0), BlockStart(1, "text"), BlockEnd(1), Finish("stop")
    )
    assert last_response(stream)["output"] == []


@pytest.mark.pitfall("P43", "P44")
def test_reasoning_and_its_state() -> None:
    state = Opaque("sig", "native", "claude", "opus")
    stream = written(
        BlockStart(0, "reasoning"),
        ReasoningDelta(0, "hm"),
        ReasoningSignature(0, state),
        BlockEnd(0),
        *tool_block(1, "{}"),
        Finish("tool_calls"),
    )
    answer = read_responses(stream)
    assert answer.reasoning == "hm"
    assert [envelope.unpack(each) for each in answer.states] == [state]
    hidden = written(
        BlockStart(0, "reasoning"),
        ReasoningDelta(0, "secret"),
        ReasoningSignature(0, state),
        BlockEnd(0),
        Finish("stop"),
        show_reasoning=False,
    )
    answer = read_responses(hidden)
    assert (answer.reasoning, len(answer.states)) == ("", 1)
    assert b"secret" not in hidden


@pytest.mark.pitfall("P46")
def test_a_failure_is_a_failed_response_that_goes_on_counting() -> None:
    """P46: also when there was nothing before it."""
    error = Refused("busy", upstream_status=529, kind="overloaded")
    stream = written(BlockStart(0, "text"), TextDelta(0, "a"), Failure(error))
    assert read_responses(stream).error == {"code": "server_is_overloaded", "message": "busy"}
    alone = write(RESPONSES, [Failure(error)])
    assert read_responses(alone).error == {"code": "server_is_overloaded", "message": "busy"}


@pytest.mark.pitfall("P46")
def test_p46_an_error_after_frames_of_the_provider_has_the_next_number() -> None:
    """P46, where the provider speaks Responses itself."""
    said = RESPONSES.stream_error(Garbled("cut"), b'{"type":"x","sequence_number":6}')
    name, value = records(said)[0]
    assert name == "error"
    assert json.loads(value) == {
        "type": "error",
        "code": "upstream_garbled",
        "message": "cut",
        "param": None,
        "sequence_number": 7,
    }
    assert (
        json.loads(records(RESPONSES.stream_error(Garbled("cut"), b""))[0][1])["sequence_number"]
        == 0
    )


# Through translation


def test_18_6_to_chat_and_messages() -> None:
    """Vector 18.6 and its sister."""
    stream = (
        CREATED
        + added(0, "reasoning", id="rs_1")
        + event(
            "response.reasoning_summary_text.delta", output_index=0, summary_index=0, delta="hm"
        )
        + done(0, "reasoning", id="rs_1", encrypted_content="blob")
        + added(1, "function_call", **function())
        + event("response.function_call_arguments.delta", output_index=1, delta='{"a":1}')
        + completed(usage=USAGE)
    )
    chat = read_chat(translated(RESPONSES, CHAT, [stream])[0], include_usage=True)
    assert (chat.reasoning, chat.reason) == ("hm", "tool_calls")
    assert [(each.id, each.name, each.value) for each in chat.tools] == [
        ("call_1_gw", "f", {"a": 1})
    ]
    assert chat.usage is not None
    assert (chat.usage["prompt_tokens"], chat.usage["completion_tokens"]) == (30, 9)
    told = read_messages(translated(RESPONSES, MESSAGES, [stream])[0])
    assert (told.blocks, told.reason) == (["thinking", "tool_use"], "tool_use")
    assert told.usage is not None
    assert told.usage["input_tokens"] == 15
    for answer in (chat, told):
        assert envelope.unpack(answer.states[0]) == Opaque(
            "enc", "blob", "acme", "sample-1", "rs_1"
        )


def test_interleaved_calls_of_a_chat_provider() -> None:
    """Vector 18.2 for this format: both calls may be open at once."""
    stream = (
        ROLE
        + chunk(tool_calls=[chat_call(0, "", "a", "f")])
        + chunk(tool_calls=[chat_call(1, "", "b", "g")])
        + chunk(tool_calls=[chat_call(0, '{"x":')])
        + chunk(tool_calls=[chat_call(1, '{"y":2}')])
        + chunk(tool_calls=[chat_call(0, "1}")])
        + chunk("tool_calls")
        + usage_chunk(10, 5)
        + DONE
    )
    answer = read_responses(translated(CHAT, RESPONSES, [stream])[0])
    assert {(each.id, each.name, json.dumps(each.value)) for each in answer.tools} == {
        ("a", "f", '{"x": 1}'),
        ("b", "g", '{"y": 2}'),
    }
    assert answer.usage is not None
    assert (answer.usage["input_tokens"], answer.usage["output_tokens"]) == (10, 5)
