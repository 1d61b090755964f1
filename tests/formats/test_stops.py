"""Stop sequences that we watch for ourselves."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.golden import CHAT, MESSAGES, RESPONSES, crossing, translated
from support.strict_streams import read_messages
from support.wire import DONE, ROLE, chunk, usage_chunk

from plexus_proxy.formats.events import (
    BlockEnd,
    BlockStart,
    Event,
    Finish,
    ReasoningDelta,
    Start,
    TextDelta,
    ToolInputDelta,
    Usage,
    UsageUpdate,
)
from plexus_proxy.formats.relay import Translation, kept_of
from plexus_proxy.formats.stops import Stops

END = [BlockEnd(0), Finish("stop")]


def said(*pieces: str) -> list[Event]:
    return [BlockStart(0, "text"), *(TextDelta(0, piece) for piece in pieces), *END]


def run(sequences: Sequence[str], events: Sequence[Event]) -> list[Event]:
    """As a stream gives them, one by one."""
    stops = Stops(sequences)
    return [out for event in events for out in stops.feed([event])]


def told(events: Sequence[Event]) -> tuple[str, str | None]:
    """The text and the sequence it was stopped by."""
    (finish,) = [event for event in events if isinstance(event, Finish)]
    return "".join(e.text for e in events if isinstance(e, TextDelta)), finish.stop_sequence


@pytest.mark.parametrize(
    ("pieces", "text", "by"),
    [
        (["a STOP b"], "a ", "STOP"),
        (["a ST", "OP b"], "a ", "STOP"),
        (["a ", "S", "T", "O", "P"], "a ", "STOP"),
        (["STOP"], "", "STOP"),
        (["a ST", "AR"], "a STAR", None),
        (["SSTOP"], "S", "STOP"),
        (["a ST"], "a ST", None),
        (["a\n\nb STOP"], "a", "\n\n"),
        (["a\n", "b"], "a\nb", None),
    ],
)
def test_text_ends_before_a_sequence(pieces: list[str], text: str, by: str | None) -> None:
    assert told(run(["STOP", "\n\n"], said(*pieces))) == (text, by)


def test_the_sequence_that_is_complete_first_counts() -> None:
    assert told(run(["xaby", "ab"], said("zxaby"))) == ("zx", "ab")
    assert told(run(["ab", "b"], said("zab"))) == ("z", "ab")


def test_only_what_may_be_a_beginning_is_held_back() -> None:
    stops = Stops(["STOP"])
    stops.feed([BlockStart(0, "text")])
    assert stops.feed([TextDelta(0, "one ST")]) == [TextDelta(0, "one ")]
    assert stops.feed([TextDelta(0, "E")]) == [TextDelta(0, "STE")]
    assert stops.feed([TextDelta(0, "S")]) == []
    assert stops.feed([BlockEnd(0)]) == [TextDelta(0, "S"), BlockEnd(0)]


def test_open_blocks_are_closed_and_nothing_follows() -> None:
    stops = Stops(["STOP"])
    out = stops.feed(
        [
            BlockStart(0, "reasoning"),
            ReasoningDelta(0, "STOP is only thought"),
            BlockStart(1, "text"),
            TextDelta(1, "aSTOP"),
            BlockEnd(1),
            BlockStart(2, "tool", "id", "f"),
            ToolInputDelta(2, "{}"),
            UsageUpdate(Usage(1)),
            Finish("tool_calls"),
        ]
    )
    assert out[-4:] == [BlockEnd(0), BlockEnd(1), UsageUpdate(Usage(1)), Finish("stop", "STOP")]
    assert ReasoningDelta(0, "STOP is only thought") in out
    assert not any(isinstance(event, ToolInputDelta) for event in out)
    assert stops.hit
    assert stops.feed([UsageUpdate(Usage(2)), Finish("stop")]) == []


def test_tool_input_and_refusals_are_not_text() -> None:
    events = [
        BlockStart(0, "tool", "id", "f"),
        ToolInputDelta(0, '{"a":"STOP"}'),
        BlockEnd(0),
        BlockStart(1, "refusal"),
        TextDelta(1, "STOP"),
        BlockEnd(1),
        Finish("tool_calls"),
    ]
    assert run(["STOP"], events) == events


WORDS = st.text("ab\n", max_size=5)


@given(st.lists(WORDS, max_size=8), st.lists(WORDS, min_size=1, max_size=3))
def test_any_pieces_give_what_the_whole_text_gives(pieces: list[str], stops: list[str]) -> None:
    whole = "".join(pieces)
    ends = [
        (at + len(each), at, each)
        for each in stops
        for at in range(len(whole))
        if each and whole.startswith(each, at)
    ]
    _, at, by = min(ends, default=(0, len(whole), None))
    assert told(run(stops, said(*pieces))) == (whole[:at], by)


def test_a_translated_stream_is_cut_and_the_rest_is_not_wanted() -> None:
    relay = Translation(CHAT, MESSAGES, crossing(stops=("END",)))
    out = relay.feed(ROLE + chunk(content="one E")) + relay.feed(chunk(content="ND two"))
    assert relay.cut
    assert relay.feed(chunk(content="three") + chunk("length") + DONE) == b""
    answer = read_messages(out + relay.close() + relay.tail())
    assert (answer.text, answer.reason, answer.stop_sequence) == ("one ", "stop_sequence", "END")
    assert relay.fault is None


def test_a_stream_without_the_sequence_is_as_ever() -> None:
    stream = ROLE + chunk(content="one E") + chunk("length") + usage_chunk(5, 2) + DONE
    out, relay = translated(CHAT, MESSAGES, [stream], stops=("END",))
    assert not relay.cut
    answer = read_messages(out)
    assert (answer.text, answer.reason, answer.stop_sequence) == ("one E", "max_tokens", None)


def test_a_whole_answer_is_cut_and_keeps_its_usage() -> None:
    events = [Start("id", "m"), *said("one END two")[:-1], UsageUpdate(Usage(7)), Finish("length")]
    cut, _ = kept_of(events, crossing(stops=("END",)))
    assert told(cut) == ("one ", "END")
    assert UsageUpdate(Usage(7)) in cut
    assert RESPONSES.write_response(cut, crossing()) == RESPONSES.write_response(
        [Start("id", "m"), *said("one ")[:-1], UsageUpdate(Usage(7)), Finish("stop", "END")],
        crossing(),
    )
