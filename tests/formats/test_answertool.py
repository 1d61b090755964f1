"""An answer that a model gives as the input of a forced tool."""

import json
from typing import Any

import pytest
from support.golden import CHAT, MESSAGES, RESPONSES, crossing, read, translated
from support.strict_streams import read_chat
from support.wire import event, message_end, message_start, text_block, thinking_block, tool_block

from plexus_proxy.formats.answertool import AnswerTool
from plexus_proxy.formats.events import BlockStart, Event, Failure, Finish, TextDelta
from plexus_proxy.formats.fold import fold
from plexus_proxy.formats.relay import kept_of

FORCED: dict[str, Any] = {"answer_tool": True}
NAME = "structured_output"


def answer(*blocks: bytes, reason: str = "tool_use") -> bytes:
    return message_start() + b"".join(blocks) + message_end(reason)


def test_the_input_becomes_the_text_and_the_call_is_hidden() -> None:
    stream = answer(tool_block(0, "toolu_1", NAME, '{"n"', ": 4}"))
    found = read_chat(translated(MESSAGES, CHAT, [stream], **FORCED)[0], include_usage=True)
    assert (found.text, found.reason, found.tools) == ('{"n": 4}', "stop", [])


def test_text_beside_the_call_is_no_part_of_the_answer() -> None:
    stream = answer(text_block(0, "Here it is:"), tool_block(1, "toolu_1", NAME, '{"n":4}'))
    out, _ = translated(MESSAGES, RESPONSES, [stream], **FORCED)
    completed = json.loads(out.rstrip().rpartition(b"data: ")[2])["response"]
    (item,) = completed["output"]
    assert (item["type"], item["content"][0]["text"]) == ("message", '{"n":4}')


def test_text_alone_is_let_go_at_the_end() -> None:
    stream = answer(text_block(0, "I cannot."), reason="refusal")
    found = read_chat(translated(MESSAGES, CHAT, [stream], **FORCED)[0], include_usage=True)
    assert found.text == "I cannot."


def test_an_answer_that_is_cut_short_says_so() -> None:
    stream = answer(tool_block(0, "toolu_1", NAME, '{"n"'), reason="max_tokens")
    found = read_chat(translated(MESSAGES, CHAT, [stream], **FORCED)[0], include_usage=True)
    assert (found.text, found.reason) == ('{"n"', "length")


def test_a_failure_lets_go_of_the_text_before_it() -> None:
    error = event("error", error={"type": "overloaded_error", "message": "Overloaded"})
    events = read(MESSAGES, message_start() + text_block(0, "partly") + error)
    out = AnswerTool().feed(events)
    assert [each.text for each in out if isinstance(each, TextDelta)] == ["partly"]
    assert isinstance(out[-1], Failure)


@pytest.mark.parametrize("whole", [True, False], ids=["whole", "stream"])
def test_blocks_keep_counting_without_a_gap(whole: bool) -> None:
    stream = answer(
        thinking_block(0, "hm", "s"), text_block(1, "x"), tool_block(2, "toolu_1", NAME, "{}")
    )
    events = read(MESSAGES, stream)
    if whole:
        out: list[Event] = kept_of(events, crossing(**FORCED))[0]
    else:
        stage = AnswerTool()
        out = [each for event in events for each in stage.feed([event])]
    assert [(e.index, e.kind) for e in out if isinstance(e, BlockStart)] == [
        (0, "reasoning"),
        (1, "text"),
    ]
    assert out[-1] == Finish("stop")
    assert [block.text for block in fold(out).blocks] == ["hm", "{}"]


def test_other_calls_pass() -> None:
    events = read(MESSAGES, answer(tool_block(0, "toolu_1", "other", "{}")))
    assert AnswerTool().feed(events) == events
