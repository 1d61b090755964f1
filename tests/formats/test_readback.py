"""Answers written in a client's format, streamed and whole, and read back by the same format."""

import json
from collections.abc import Sequence
from typing import Any

import pytest
from formats.test_streams import DEPTHS, KINDS, judge, streams
from hypothesis import given
from support.golden import crossing, read, write

from plexus_proxy.formats.events import Event
from plexus_proxy.formats.fold import fold
from plexus_proxy.formats.format import Format
from plexus_proxy.formats.registry import FORMATS

EVERY_FORMAT = pytest.mark.parametrize("fmt", FORMATS.values(), ids=FORMATS.keys())


def said(events: Sequence[Event]) -> dict[str, Any]:
    """What a reader of the answer learns, whatever its blocks were cut into: adjacent text may be
    joined, and a call's arguments may be spelled anew. Ids and opaque state are the format's."""
    answer = fold(events)
    return {
        "model": answer.model,
        "text": "".join(block.text for block in answer.of("text")),
        "reasoning": "".join(block.text for block in answer.of("reasoning")),
        "calls": [(each.tool_name, json.loads(each.text or "{}")) for each in answer.of("tool")],
        "reason": answer.reason,
    }


def can_say(fmt: Format, events: Sequence[Event]) -> bool:
    """Chat tells the text of all reasoning in one field, and beside it the state of some: what is
    read back is exact only if all of it has state, or none has."""
    thoughts = fold(events).of("reasoning")
    return fmt.name != "chat" or len({each.opaque is None for each in thoughts}) < 2


@DEPTHS
@EVERY_FORMAT
def test_a_written_stream_is_read_back(fmt: Format, depth: str) -> None:
    @given(streams(KINDS, mergeable=True).filter(lambda events: can_say(fmt, events)))
    def check(events: list[Event]) -> None:
        stream = write(fmt, events)
        assert judge(fmt, stream).error is None
        assert said(read(fmt, stream)) == said(events)

    check()


@DEPTHS
@EVERY_FORMAT
def test_a_written_answer_is_read_back_as_its_stream_is(fmt: Format, depth: str) -> None:
    @given(streams(KINDS, mergeable=True).filter(lambda events: can_say(fmt, events)))
    def check(events: list[Event]) -> None:
        whole = fmt.read_response(fmt.write_response(events, crossing()), crossing())
        streamed = read(fmt, write(fmt, events))
        assert said(whole) == said(events)
        assert fold(whole).usage == fold(streamed).usage

    check()
