"""Legacy completions: what becomes of a request, and what a client reads of an answer."""

import json
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.golden import CASES, CHAT, IDS, MESSAGES, crossing, format_of, read, translated, write
from support.strict_completions import read_completion, read_completions
from support.wire import DONE, ROLE, chunk

from plexus_proxy.errors import BadRequest, PlexusError, Refused
from plexus_proxy.formats.completions import FORMAT
from plexus_proxy.formats.completions.request import FILL_IN
from plexus_proxy.formats.conversation import Conversation, Crossing, Text
from plexus_proxy.formats.events import (
    BlockEnd,
    BlockKind,
    BlockStart,
    Event,
    Failure,
    Finish,
    FinishReason,
    ReasoningDelta,
    Start,
    TextDelta,
    ToolInputDelta,
    Usage,
    UsageUpdate,
)
from plexus_proxy.formats.format import IN_BODY

USAGE = Usage(input_tokens=9, cache_read_tokens=2, output_tokens=3, reasoning_tokens=4)


def asked(**fields: Any) -> Conversation:
    body = {"model": "m", "prompt": "Once upon"} | fields
    return FORMAT.read_request(json.dumps(body).encode(), IN_BODY)


def refusal(**fields: Any) -> PlexusError:
    with pytest.raises(BadRequest) as caught:
        asked(**fields)
    return caught.value


def spoken(conversation: Conversation) -> list[tuple[str, str]]:
    """(role, text) of all there is."""
    turns = [(turn.role, turn.parts) for turn in conversation.turns]
    return [
        (role, part.text if isinstance(part, Text) else repr(part))
        for role, parts in [("system", conversation.system), *turns]
        for part in parts
    ]


def answer(*blocks: tuple[BlockKind, str], reason: FinishReason = "stop") -> list[Event]:
    """The events of an answer; a block is (kind, text)."""
    deltas: dict[str, type[ReasoningDelta | ToolInputDelta]] = {
        "reasoning": ReasoningDelta,
        "tool": ToolInputDelta,
    }
    events: list[Event] = [Start("up-1", "up-model")]
    for index, (kind, text) in enumerate(blocks):
        events += [
            BlockStart(index, kind, tool_name="f" if kind == "tool" else ""),
            deltas.get(kind, TextDelta)(index, text),
            BlockEnd(index),
        ]
    return [*events, UsageUpdate(USAGE), Finish(reason)]


# Requests


def test_the_prompt_is_the_one_turn_as_it_stands() -> None:
    prompt = "  Once upon\n\ta time "
    for sent in (prompt, [prompt]):
        assert spoken(asked(prompt=sent)) == [("user", prompt)]


def test_what_both_apis_know_is_carried() -> None:
    found = asked(
        max_tokens=7,
        temperature=0.1,
        top_p=0.2,
        seed=3,
        presence_penalty=0.4,
        frequency_penalty=0.5,
        stop=["a", "b"],
        user="u",
        stream=True,
        stream_options={"include_usage": True},
    )
    assert (found.max_output_tokens, found.temperature, found.top_p) == (7, 0.1, 0.2)
    assert (found.seed, found.presence_penalty, found.frequency_penalty) == (3, 0.4, 0.5)
    assert (found.stop, found.user) == (("a", "b"), "u")
    assert (found.stream, found.include_usage) == (True, True)
    assert not found.extra
    assert asked(stop="a").stop == ("a",)
    assert asked().max_output_tokens is None


def test_a_suffix_asks_for_what_stands_between() -> None:
    found = asked(prompt="def f(x):\n    return ", suffix="\n\nprint(f(2))")
    (system, instruction), (role, material) = spoken(found)
    assert (system, instruction) == ("system", FILL_IN)
    assert role == "user"
    assert material == ("<before>def f(x):\n    return </before><after>\n\nprint(f(2))</after>")
    assert spoken(asked(prompt="", suffix="b"))[1][1] == "<before></before><after>b</after>"
    assert spoken(asked(suffix="")) == [("user", "Once upon")]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("prompt", None),
        ("prompt", ""),
        ("prompt", []),
        ("prompt", [""]),
        ("prompt", ["a", "b"]),
        ("prompt", [1, 2, 3]),
        ("prompt", [[1, 2], [3]]),
        ("prompt", 3),
        ("n", 2),
        ("max_tokens", 0),
        ("max_tokens", -1),
        ("suffix", 1),
        ("stop", 1),
    ],
    ids=lambda each: json.dumps(each),
)
def test_what_cannot_be_done_is_refused_by_its_name(field: str, value: Any) -> None:
    error = refusal(**{field: value})
    assert (error.param, error.status) == (field, 400)


def test_tokens_are_told_apart_from_several_prompts() -> None:
    assert "tokens" in refusal(prompt=[1, 2]).message
    assert "one prompt" in refusal(prompt=["a", "b"]).message


def test_what_has_no_counterpart_is_named() -> None:
    found = asked(best_of=3, logprobs=0, logit_bias={"50256": -100}, min_p=0.1, dry_multiplier=None)
    noted = crossing()
    CHAT.write_request(found, noted)
    assert sorted(noted.dropped) == ["best_of", "logit_bias", "logprobs", "min_p"]
    assert not asked(best_of=1, logprobs=None, logit_bias={}, echo=False, n=1).extra


def test_a_call_is_peeked_at() -> None:
    body = {
        "model": "a/b",
        "prompt": ["x"],
        "stream": True,
        "stream_options": {"include_usage": True},
        "user": "u",
    }
    call = FORMAT.read_call(json.dumps(body).encode(), IN_BODY)
    assert (call.model, call.stream, call.include_usage) == ("a/b", True, True)
    assert (call.session, call.message_count, call.tool_count) == ("u", 1, 0)


@pytest.mark.parametrize("missing", ["model", "prompt"])
def test_a_call_without_what_it_needs_is_refused(missing: str) -> None:
    body = {"model": "m", "prompt": "p"}
    del body[missing]
    with pytest.raises(BadRequest) as caught:
        FORMAT.read_call(json.dumps(body).encode(), IN_BODY)
    assert caught.value.param == missing


# Answers: both modes say the same


def both(events: list[Event], **changed: Any) -> tuple[Any, Any]:
    whole = read_completion(FORMAT.write_response(events, crossing(**changed)))
    stream = write(FORMAT, events, **changed)
    return whole, read_completions(stream, include_usage=True)


def test_text_is_told_and_reasoning_is_not() -> None:
    events = answer(
        ("reasoning", "SECRET"), ("text", "Teal "), ("reasoning", "SECRET"), ("text", "é")
    )
    for found in both(events):
        assert (found.text, found.reason, found.model) == ("Teal é", "stop", "up-model")
        assert found.usage["prompt_tokens"] == 11
        assert found.usage["completion_tokens"] == 7
        assert found.usage["prompt_tokens_details"]["cached_tokens"] == 2
        assert found.usage["completion_tokens_details"]["reasoning_tokens"] == 4
    assert b"SECRET" not in FORMAT.write_response(events, crossing())
    assert b"SECRET" not in write(FORMAT, events)


def test_while_a_model_reasons_the_stream_stays_alive() -> None:
    writer = FORMAT.writer(crossing())
    writer.feed(Start("a", "m"))
    writer.feed(BlockStart(0, "reasoning"))
    assert writer.feed(ReasoningDelta(0, "hmm")).startswith(b":")


@pytest.mark.parametrize(
    ("reason", "word"),
    [
        ("stop", "stop"),
        ("length", "length"),
        ("context_full", "length"),
        ("content_filter", "content_filter"),
        ("refusal", "content_filter"),
        ("pause", "stop"),
        ("tool_calls", "stop"),
    ],
)
def test_reasons_are_said_in_the_words_there_are(reason: FinishReason, word: str) -> None:
    for found in both(answer(("text", "a"), reason=reason)):
        assert found.reason == word


def test_a_call_of_a_tool_that_nobody_offered_is_no_text() -> None:
    for found in both(answer(("text", "a"), ("tool", "{}"), reason="tool_calls")):
        assert (found.text, found.reason) == ("a", "stop")


def test_the_words_of_a_refusal_are_text() -> None:
    for found in both(answer(("refusal", "I will not."), reason="refusal")):
        assert (found.text, found.reason) == ("I will not.", "content_filter")


def test_echo_begins_with_the_prompt() -> None:
    prompt = 'Say "hi"\n\U0001f600'
    echo = asked(prompt=prompt, suffix="after", echo=True).echo
    for found in both(answer(("text", " there")), echo=echo):
        assert found.text == prompt + " there"


FENCED = ("```py\nx = ", "1\n", "``", "`\n")


def fenced(kept: Conversation) -> list[str]:
    """The text of both modes of an answer in a fence, piece by piece."""
    pieces = [TextDelta(0, each) for each in FENCED]
    events: list[Event] = [Start("a", "m"), BlockStart(0, "text"), *pieces, BlockEnd(0)]
    return [found.text for found in both([*events, Finish("stop")], echo=kept.echo)]


def test_a_fence_around_what_fills_a_gap_is_taken_off() -> None:
    assert fenced(asked(prompt="a", suffix="b")) == ["x = 1"] * 2
    assert fenced(asked(prompt="a", suffix="b", echo=True)) == ["ax = 1"] * 2


def test_a_fence_stays_where_it_may_be_meant() -> None:
    """Without a gap, and in Markdown."""
    assert fenced(asked(prompt="a")) == ["".join(FENCED)] * 2
    assert fenced(asked(prompt="```sh\nls\n```\n", suffix="b")) == ["".join(FENCED)] * 2


def test_what_was_held_back_is_told_when_the_stream_fails() -> None:
    echo = asked(prompt="a", suffix="b").echo
    error = Refused("overloaded", upstream_status=529, kind="overloaded")
    events = [Start("a", "m"), BlockStart(0, "text"), TextDelta(0, "``"), Failure(error)]
    stream = write(FORMAT, events, echo=echo)
    found = read_completions(stream, include_usage=True)
    assert (found.text, found.error is not None) == ("``", True)


def test_an_answer_of_nothing_is_an_answer() -> None:
    for found in both(answer()):
        assert (found.text, found.reason) == ("", "stop")


@given(
    st.lists(
        st.tuples(
            st.sampled_from([each for each in get_args(BlockKind) if each != "search"]), st.text()
        ),
        max_size=6,
    ),
    st.text(min_size=1),
    st.booleans(),
)
def test_both_modes_say_the_same_of_any_answer(
    blocks: list[tuple[BlockKind, str]], prompt: str, repeat: bool
) -> None:
    echo = asked(prompt=prompt, echo=repeat).echo
    whole, streamed = both(answer(*blocks), echo=echo)
    text = "".join(text for kind, text in blocks if kind in ("text", "refusal"))
    assert whole.text == streamed.text == (prompt if repeat else "") + text
    assert (whole.reason, whole.usage) == (streamed.reason, streamed.usage)


def test_usage_is_estimated_when_nobody_states_it() -> None:
    told = answer(("reasoning", "a" * 40), ("text", "b" * 8), ("tool", "c" * 4))
    for found in both([each for each in told if not isinstance(each, UsageUpdate)]):
        assert (found.usage["prompt_tokens"], found.usage["completion_tokens"]) == (9, 13)


def test_usage_that_nobody_asked_for_stays_away() -> None:
    stream = write(FORMAT, answer(("text", "a")), include_usage=False)
    assert read_completions(stream, include_usage=False).text == "a"


def test_each_piece_of_text_is_sent_at_once() -> None:
    writer = FORMAT.writer(crossing())
    writer.feed(Start("a", "m"))
    writer.feed(BlockStart(0, "text"))
    for piece in ("a", "b"):
        assert json.loads(writer.feed(TextDelta(0, piece))[6:])["choices"][0]["text"] == piece


@pytest.mark.parametrize("started", [True, False], ids=["in-stream", "at-once"])
def test_a_failure_ends_the_stream(started: bool) -> None:
    error = Refused("overloaded", upstream_status=529, kind="overloaded")
    begun = answer(("text", "a"))[:3] if started else []
    stream = write(FORMAT, [*begun, Failure(error)])
    found = read_completions(stream, include_usage=True)
    assert found.error is not None
    assert (found.text, found.error["code"]) == ("a" if started else "", "overloaded")
    with pytest.raises(Refused):
        FORMAT.write_response([*begun, Failure(error)], crossing())


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_every_real_stream_is_told_by_the_grammar(case: Path) -> None:
    provider = format_of(case)
    stream = (case / "upstream.sse").read_bytes()
    out, relay = translated(
        provider, FORMAT, [stream[at : at + 7] for at in range(0, len(stream), 7)]
    )
    found = read_completions(out, include_usage=True)
    events = read(provider, stream)
    assert found.text == "".join(each.text for each in events if isinstance(each, TextDelta))
    failed = any(isinstance(each, Failure) for each in events)
    assert (found.error is not None, relay.fault is not None) == (failed, failed)


def test_a_stream_that_is_cut_ends_with_an_error() -> None:
    out, _ = translated(CHAT, FORMAT, [ROLE, chunk(content="a")])
    found = read_completions(out, include_usage=True)
    assert (found.text, found.error and found.error["code"]) == ("a", "upstream_cut")
    out, _ = translated(CHAT, FORMAT, [ROLE, chunk(content="a"), chunk("length"), DONE])
    assert read_completions(out, include_usage=True).reason == "length"


def test_a_gap_reaches_a_provider_with_its_system_text() -> None:
    noted: Crossing = crossing()
    body = json.loads(MESSAGES.write_request(asked(prompt="a", suffix="c"), noted))
    assert FILL_IN in json.dumps(body["system"])
    assert "<before>a</before><after>c</after>" in json.dumps(body["messages"])
    assert not noted.dropped
