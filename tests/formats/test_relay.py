"""Relays: bytes in, bytes out, an honest end, and never an exception."""

import hashlib
from typing import Any

import pytest
from support.golden import CHAT, MESSAGES, crossing, read, translated, write
from support.strict_streams import read_chat, read_messages, records
from support.wire import (
    DONE,
    ROLE,
    STOP,
    call,
    chunk,
    chunk_with,
    data,
    event,
    message_end,
    message_start,
    text_block,
    thinking_block,
    tool_block,
    usage_chunk,
)

from plexus_proxy.errors import Garbled, PlexusError, Refused, Stalled, TimedOut, Unreachable
from plexus_proxy.formats.conversation import Reasoning, Remembered
from plexus_proxy.formats.events import (
    BlockEnd,
    BlockStart,
    Event,
    Finish,
    Opaque,
    ReasoningDelta,
    Start,
    TextDelta,
    Usage,
)
from plexus_proxy.formats.format import Format
from plexus_proxy.formats.relay import (
    Passthrough,
    Replayed,
    Translation,
    events_of_stream,
    kept_of,
    stream_of_events,
)

CUT = "The provider's stream ended before the answer was complete."
BOTH = pytest.mark.parametrize("fmt", [CHAT, MESSAGES], ids=["chat", "messages"])
FINISHED = {
    "chat": ROLE + chunk(content="x") + chunk("stop"),
    "messages": message_start() + text_block(0, "x") + message_end().removesuffix(STOP),
}
UNFINISHED = {
    "chat": ROLE + chunk(content="x"),
    "messages": message_start() + text_block(0, "x"),
}
READERS: dict[str, Any] = {"chat": read_chat, "messages": read_messages}
LOST = [
    Unreachable("The connection to the provider broke."),
    Garbled("The provider's answer ended early or is badly encoded.", code="upstream_cut"),
    TimedOut("total", 5),
    Stalled(5),
]


def passed(fmt: Format, *chunks: bytes, hide_usage: bool = True) -> tuple[bytes, Passthrough]:
    relay = Passthrough(fmt, crossing(include_usage=not hide_usage))
    out = b"".join([relay.feed(each) for each in chunks])
    return out + relay.close() + relay.tail(), relay


def bytewise(stream: bytes) -> list[bytes]:
    return [stream[at : at + 1] for at in range(len(stream))]


def other(fmt: Format) -> Format:
    return MESSAGES if fmt is CHAT else CHAT


# Passthrough


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"], ids=["LF", "CRLF", "CR"])
@BOTH
@pytest.mark.pitfall("P130")
def test_bytes_pass_through_untouched(fmt: Format, end: bytes) -> None:
    stream = b": hello\n\n" + FINISHED[fmt.name] + fmt.done + b"\n"
    stream = stream.replace(b"\n", end)
    assert passed(fmt, stream)[0] == stream
    assert passed(fmt, *bytewise(stream))[0] == stream


@BOTH
def test_what_is_no_json_passes_through(fmt: Format) -> None:
    stream = b"data: <\xff>\n\nevent: new\ndata: 1\n\n" + FINISHED[fmt.name] + fmt.done
    assert passed(fmt, stream)[0] == stream


@BOTH
def test_a_forgotten_terminal_frame_is_appended_to_a_complete_answer(fmt: Format) -> None:
    out, relay = passed(fmt, FINISHED[fmt.name])
    assert out == FINISHED[fmt.name] + fmt.done
    assert relay.fault is None


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n", b"\r"], ids=["none", "LF", "CRLF", "CR"])
@BOTH
@pytest.mark.pitfall("P40")
def test_a_last_frame_without_its_blank_line_gets_one(fmt: Format, end: bytes) -> None:
    stream = FINISHED[fmt.name].rstrip(b"\n") + end
    out, _ = passed(fmt, stream)
    assert records(out.decode("utf-8").encode()) == records(FINISHED[fmt.name] + fmt.done)


@BOTH
@pytest.mark.pitfall("P14", "P38")
def test_a_stream_cut_before_its_end_gets_an_error(fmt: Format) -> None:
    out, relay = passed(fmt, UNFINISHED[fmt.name])
    assert READERS[fmt.name](out).error["message"] == CUT
    assert isinstance(relay.fault, Garbled)
    assert relay.fault.code == "upstream_cut"


@BOTH
def test_a_frame_cut_in_two_is_not_forwarded(fmt: Format) -> None:
    for length in range(1, len(FINISHED[fmt.name]) - len(UNFINISHED[fmt.name]) - 2):
        out, _ = passed(fmt, FINISHED[fmt.name][: len(UNFINISHED[fmt.name]) + length])
        assert READERS[fmt.name](out).error["message"] == CUT
        assert out.startswith(UNFINISHED[fmt.name])


@pytest.mark.pitfall("P30")
def test_the_frame_that_only_carries_usage_is_hidden() -> None:
    stream = FINISHED["chat"] + usage_chunk(3, 4) + DONE
    out, relay = passed(CHAT, stream, hide_usage=True)
    assert out == FINISHED["chat"] + DONE
    assert relay.observer.usage == Usage(input_tokens=3, output_tokens=4)


def test_nothing_else_is_hidden() -> None:
    """A content filter's preamble has no choices either, and text may speak of usage."""
    preamble = data({"choices": [], "usage": None, "prompt_filter_results": [{"x": 1}]})
    text = chunk(content='{"choices":[],"usage":{}}')
    with_usage = chunk_with({"usage": {"prompt_tokens": 1}}, "stop")
    stream = preamble + ROLE + text + with_usage + DONE
    assert passed(CHAT, stream, hide_usage=True)[0] == stream


def test_an_error_is_not_hidden_with_the_usage() -> None:
    error = data({"error": {"message": "m", "type": "server_error"}, "choices": [], "usage": {}})
    out, relay = passed(CHAT, UNFINISHED["chat"] + error)
    assert out == UNFINISHED["chat"] + error
    assert isinstance(relay.fault, Refused)


@pytest.mark.pitfall("P15", "P38")
def test_an_error_event_is_forwarded_in_the_providers_own_words() -> None:
    error = data({"error": {"message": "m", "type": "server_error", "param": None, "code": 7}})
    out, relay = passed(CHAT, UNFINISHED["chat"] + error + chunk("stop") + DONE)
    assert out == UNFINISHED["chat"] + error
    assert isinstance(relay.fault, Refused)
    assert relay.fault.in_stream


@pytest.mark.pitfall("P16")
def test_an_error_as_the_first_event_comes_before_the_commit() -> None:
    stream = event("error", error={"type": "overloaded_error", "message": "Overloaded"})
    for relay in (Passthrough(MESSAGES, crossing()), Translation(MESSAGES, CHAT, crossing())):
        relay.feed(stream)
        assert isinstance(relay.fault, Refused)
        assert (relay.fault.kind, relay.fault.upstream_status) == ("overloaded", 529)
        assert not relay.committed


def test_an_endless_frame_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("plexus_proxy.formats.sse.MAX_FRAME_BYTES", 50)
    for client in (CHAT, MESSAGES):
        relay = (
            Passthrough(CHAT, crossing())
            if client is CHAT
            else Translation(CHAT, client, crossing())
        )
        out = relay.feed(b"data: " + b"x" * 99)
        assert READERS[client.name](out).error
        assert isinstance(relay.fault, Garbled)


# Both kinds of relay


def relays(fmt: Format, **changed: Any) -> list[tuple[Format, Any]]:
    """Client format and relay for a provider that speaks `fmt`."""
    over = crossing(**changed)
    return [(fmt, Passthrough(fmt, over)), (other(fmt), Translation(fmt, other(fmt), over))]


@pytest.mark.parametrize("error", LOST, ids=lambda error: type(error).__name__)
@BOTH
def test_a_lost_connection_ends_the_stream_with_an_error(fmt: Format, error: PlexusError) -> None:
    for client, relay in relays(fmt):
        out = relay.feed(UNFINISHED[fmt.name] + b"data: {") + relay.fail(error)
        answer = READERS[client.name](out)
        assert (answer.text, answer.error["message"]) == ("x", error.message)
        assert relay.fault is error


@pytest.mark.parametrize("error", LOST, ids=lambda error: type(error).__name__)
@BOTH
def test_a_connection_lost_after_the_finish_is_a_normal_end(
    fmt: Format, error: PlexusError
) -> None:
    """Translation §18.12: usage is then what is known."""
    for rest in (b"", b'data: {"usa'):
        for client, relay in relays(fmt, include_usage=False):
            out = relay.feed(FINISHED[fmt.name] + rest) + relay.fail(error)
            if client is fmt:
                assert out == FINISHED[fmt.name] + fmt.done
            else:
                assert READERS[client.name](out).reason in ("stop", "end_turn")
            assert relay.fault is None


def test_usage_that_a_lost_connection_took_along_is_estimated() -> None:
    """Translation §18.12, for a client that asked for it."""
    for relay in (Passthrough(CHAT, crossing()), Translation(MESSAGES, CHAT, crossing())):
        begun = FINISHED["chat"] if isinstance(relay, Passthrough) else message_start()
        if isinstance(relay, Translation):
            begun += text_block(0, "x") + message_end().removesuffix(STOP)
        out = relay.feed(begun) + relay.fail(LOST[0])
        usage = read_chat(out).usage
        assert usage is not None
        assert usage["completion_tokens"] >= 1
        if isinstance(relay, Passthrough):
            assert (usage["prompt_tokens"], usage["total_tokens"]) == (9, 10)


@BOTH
def test_a_frame_cut_after_the_finish_is_a_normal_end(fmt: Format) -> None:
    for _, relay in relays(fmt):
        relay.feed(FINISHED[fmt.name] + b'data: {"usa')
        relay.close()
        assert relay.fault is None


@BOTH
def test_rubbish_after_the_finish_is_a_normal_end(fmt: Format) -> None:
    client = other(fmt)
    out, relay = translated(fmt, client, [FINISHED[fmt.name] + b"data: <html>\n\n"])
    assert READERS[client.name](out).error is None
    assert relay.fault is None


@BOTH
def test_a_frame_cut_in_two_is_a_cut(fmt: Format) -> None:
    _, relay = translated(fmt, other(fmt), [UNFINISHED[fmt.name] + b'data: {"typ'])
    assert relay.fault is not None
    assert relay.fault.code == "upstream_cut"


@BOTH
def test_nothing_follows_an_end(fmt: Format) -> None:
    error = Unreachable("gone")
    for _, relay in relays(fmt):
        relay.feed(UNFINISHED[fmt.name])
        assert relay.fail(error)
        assert relay.fail(error) + relay.feed(FINISHED[fmt.name]) + relay.close() == b""
    for _, relay in relays(fmt):
        relay.feed(FINISHED[fmt.name] + fmt.done)
        relay.close()
        assert relay.fail(error) + relay.feed(UNFINISHED[fmt.name]) + relay.close() == b""
        assert relay.fault is None


@BOTH
def test_nothing_at_all_is_a_cut(fmt: Format) -> None:
    for client, relay in relays(fmt):
        assert READERS[client.name](relay.close()).error["message"] == CUT
        assert not relay.committed


@BOTH
def test_a_stream_is_not_committed_before_it_has_content(fmt: Format) -> None:
    start = {"chat": ROLE, "messages": message_start() + event("ping")}[fmt.name]
    for _, relay in relays(fmt):
        relay.feed(b": keep-alive\n\n" + start)
        assert not relay.committed
        relay.feed(FINISHED[fmt.name])
        assert relay.committed


@BOTH
@pytest.mark.pitfall("P117")
def test_the_first_frame_is_not_lost(fmt: Format) -> None:
    stream = UNFINISHED[fmt.name]
    start = stream[: stream.index(b"\n\n") + 2]
    for client, relay in relays(fmt):
        assert len(records(relay.feed(start))) == (2 if client is not fmt and fmt is CHAT else 1)


NESTED = b"[" * 100_000 + b"]" * 100_000
BAD = [
    b'data: {"x":' + NESTED + b"}\n\n",
    b"data: " + NESTED + b"\n\n",
    b"data: \xff\xfe\n\n",
    b'data: "\\ud83d"\n\n',
    b"data: 1e999999\n\n",
    b"data: null\n\n",
]
BAD_ARGUMENTS = [
    b'"\\ud83d"',
    b'"\xff"',
    b'{"a":"\xff"}',
    b'{"a":"\\ud83d"}',
    b'"\\x"',
    b'{"a":"\\x"}',
    b'"\n"',
    b"17",
    b"[1]",
    b"false",
]
BAD += [
    b'data: {"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"a","function":'
    b'{"name":"f","arguments":%b}}]}}]}\n\n' % each
    for each in BAD_ARGUMENTS
]
BAD += [
    b'data: {"choices":[{"index":0,"delta":{"reasoning":%b,"reasoning_details":%b}}]}\n\n'
    % (each, each)
    for each in BAD_ARGUMENTS
]
BAD += [
    b'data: {"type":"content_block_start","index":0,"content_block":{"type":"tool_use","id":"a",'
    b'"name":"f","input":%b}}\n\n' % each
    for each in BAD_ARGUMENTS
]
BAD += [
    b'data: {"type":"content_block_start","index":0,"content_block":{"type":"redacted_thinking",'
    b'"data":%b}}\n\n' % each
    for each in BAD_ARGUMENTS
]
BAD += [b'data: {"type":"error","error":%b}\n\n' % each for each in BAD_ARGUMENTS]


@pytest.mark.parametrize("bad", BAD)
@BOTH
def test_nothing_a_provider_sends_raises(fmt: Format, bad: bytes) -> None:
    for client, relay in relays(fmt):
        out = relay.feed(UNFINISHED[fmt.name] + bad) + relay.feed(FINISHED[fmt.name] + fmt.done)
        out += relay.close() + relay.tail()
        if client is not fmt:
            assert records(out)


@BOTH
def test_half_an_emoji_does_not_end_the_stream(fmt: Format) -> None:
    """Programs in JavaScript cut strings between its two halves."""
    half = {
        "chat": chunk(content="a\ud83d") + chunk(content="\ude00b"),
        "messages": text_block(1, "a\ud83d", "\ude00b"),
    }
    stream = (
        UNFINISHED[fmt.name]
        + half[fmt.name]
        + FINISHED[fmt.name].removeprefix(UNFINISHED[fmt.name])
    )
    out, _ = translated(fmt, other(fmt), [stream])
    assert READERS[other(fmt).name](out).text == "xa\ufffd\ufffdb"


# Whole answers


def test_the_events_of_a_whole_stream() -> None:
    observer = CHAT.observer()
    events = events_of_stream(CHAT, crossing(), FINISHED["chat"] + DONE, observer)
    assert events == read(CHAT, FINISHED["chat"])
    assert observer.complete


@BOTH
def test_the_events_of_a_stream_without_its_terminal_frame(fmt: Format) -> None:
    stream = FINISHED[fmt.name] + b'data: {"usa'
    events = events_of_stream(fmt, crossing(), stream, fmt.observer())
    assert isinstance(events[-1], Finish)


@BOTH
def test_a_whole_stream_that_is_cut_raises(fmt: Format) -> None:
    with pytest.raises(Garbled, match="before the answer was complete"):
        events_of_stream(fmt, crossing(), UNFINISHED[fmt.name] + b"data: {", fmt.observer())


def test_a_whole_stream_with_an_error_raises_it() -> None:
    stream = UNFINISHED["messages"] + event(
        "error", error={"type": "overloaded_error", "message": "Overloaded"}
    )
    with pytest.raises(Refused, match="Overloaded"):
        events_of_stream(MESSAGES, crossing(), stream, MESSAGES.observer())


ANSWER: list[Event] = [
    Start("id", "m"),
    BlockStart(0, "text"),
    TextDelta(0, "x"),
    BlockEnd(0),
    Finish("stop"),
]


@BOTH
def test_a_whole_answer_is_streamed_to_a_client_that_wants_it(fmt: Format) -> None:
    out = b"".join(stream_of_events(fmt, crossing(), ANSWER))
    assert READERS[fmt.name](out).text == "x"
    assert out == write(fmt, ANSWER)


def test_a_replayed_answer_has_nothing_more_to_say() -> None:
    observer = CHAT.observer()
    relay = Replayed(observer, None, b"end")
    assert relay.committed
    assert relay.observer is observer
    assert relay.feed(b"data: 1\n\n") + relay.close() + relay.fail(Unreachable("gone")) == b""
    assert relay.fault is None
    assert relay.waiting
    assert relay.tail() == b"end"


# What is remembered


def test_reasoning_of_a_turn_with_calls_is_remembered_in_order() -> None:
    """Translation §18.3"""
    stream = (
        message_start()
        + thinking_block(0, "one", "s1")
        + text_block(1, "text")
        + thinking_block(2, "two", "s2")
        + tool_block(3, "toolu_1", "f", "{}")
        + tool_block(4, "toolu_2", "f", "{}")
        + message_end("tool_use")
    )
    expected = Remembered(
        ("toolu_1", "toolu_2"),
        (
            Reasoning(text="one", opaque=Opaque("sig", "s1", "acme", "sample-1")),
            Reasoning(text="two", opaque=Opaque("sig", "s2", "acme", "sample-1"), text_offset=4),
        ),
    )
    assert translated(MESSAGES, CHAT, [stream])[1].remembered() == expected
    assert kept_of(read(MESSAGES, stream), crossing())[1] == expected


def test_turns_without_reasoning_or_without_calls_are_not_remembered() -> None:
    calls = message_start() + tool_block(0, "toolu_1", "f", "{}") + message_end("tool_use")
    thought = message_start() + thinking_block(0, "one", "s1") + message_end()
    for stream in (calls, thought):
        assert translated(MESSAGES, CHAT, [stream])[1].remembered() is None


@pytest.mark.parametrize("reasons", [True, False])
def test_the_end_waits_for_what_is_to_be_kept_and_for_nothing_else(reasons: bool) -> None:
    """What a client does next must find it."""
    thought = thinking_block(0, "one", "s1") if reasons else b""
    stream = message_start() + thought + tool_block(1, "t", "f", "{}") + message_end("tool_use")
    relay = Translation(MESSAGES, CHAT, crossing())
    out = relay.feed(stream) + relay.close()
    assert relay.waiting == reasons
    assert (b"[DONE]" in out) != reasons
    assert b'"name":"f"' in out
    assert (relay.tail().endswith(DONE), relay.waiting, relay.tail()) == (reasons, False, b"")


def test_a_turn_without_calls_is_known_by_its_text_if_it_has_state() -> None:
    said = thinking_block(0, "one", "s1") + text_block(1, "Four") + text_block(2, "teen\n")
    relay = translated(MESSAGES, CHAT, [message_start() + said + message_end()])[1]
    digest = hashlib.sha256(b"Fourteen").hexdigest()
    part = Reasoning(text="one", opaque=Opaque("sig", "s1", "acme", "sample-1"))
    assert relay.remembered() == Remembered((f"text:{digest}",), (part,))
    thought = ROLE + chunk(reasoning="r") + chunk(content="Fourteen") + chunk("stop") + DONE
    assert translated(CHAT, MESSAGES, [thought])[1].remembered() is None


def test_clients_of_the_same_format_send_back_what_they_saw() -> None:
    stream = ROLE + chunk(reasoning="r") + chunk(tool_calls=[call(0, "{}", "a", "f")])
    assert passed(CHAT, stream + chunk("tool_calls") + DONE)[1].remembered() is None


def test_reasoning_that_is_hidden_from_the_client_is_remembered() -> None:
    frames = [ROLE, chunk(reasoning="r"), chunk(tool_calls=[call(0, "{}", "a", "f")])]
    stream = b"".join(frames) + chunk("tool_calls") + DONE
    out, relay = translated(CHAT, MESSAGES, [stream], show_reasoning=False)
    assert read_messages(out).reasoning == ""
    assert relay.remembered() == Remembered(("a",), (Reasoning(text="r"),))


@pytest.mark.pitfall("P20")
def test_a_thinking_block_without_text_is_remembered() -> None:
    stream = message_start() + thinking_block(0, "", "s1") + tool_block(1, "t", "f") + message_end()
    remembered = translated(MESSAGES, CHAT, [stream])[1].remembered()
    assert remembered is not None
    assert [part.text for part in remembered.parts] == [""]


def test_reasoning_deltas_are_joined() -> None:
    events: list[Event] = [
        BlockStart(0, "reasoning"),
        ReasoningDelta(0, "a"),
        ReasoningDelta(0, "b"),
        BlockEnd(0),
        BlockStart(1, "tool", "t", "f"),
        BlockEnd(1),
    ]
    assert kept_of(events, crossing())[1] == Remembered(("t",), (Reasoning(text="ab"),))
