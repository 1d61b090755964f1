"""Random conversations to every provider format and back, random answers likewise.

A conversation is written for a provider, judged as its API would, and read again as that format's
own server reads it. What it says must be the same: who said which words, which tools were called
with what, what they gave, which pictures were shown, and every setting the format can express.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw
from support import strict_chat, strict_gemini, strict_messages, strict_responses_request
from support.golden import crossing, write

from plexus_proxy.formats.conversation import (
    Conversation,
    Image,
    Part,
    Text,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    Turn,
)
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
from plexus_proxy.formats.fold import Answer, fold
from plexus_proxy.formats.format import Asked
from plexus_proxy.formats.registry import FORMATS
from plexus_proxy.formats.relay import Translation, events_of_stream

NAMES = ("chat", "messages", "responses", "gemini")
EVERY = pytest.mark.parametrize("name", NAMES)
DEPTHS = pytest.mark.parametrize("depth", ["few", pytest.param("many", marks=pytest.mark.long)])
MODELS = {
    "chat": "sample-1",
    "messages": "claude-3-5-sonnet-20241022",
    "responses": "gpt-4.1",
    "gemini": "gemini-3-pro",
}
JUDGES: dict[str, Callable[[dict[str, Any]], list[str]]] = {
    "chat": strict_chat.problems,
    "messages": lambda body: strict_messages.problems(body, newest=False),
    "responses": strict_responses_request.problems,
    "gemini": lambda body: strict_gemini.problems(body, model=MODELS["gemini"]),
}
SETTINGS = {
    "chat": {"max_output_tokens", "temperature", "top_p", "seed", "stop", "parallel_tool_calls"},
    "messages": {"max_output_tokens", "temperature", "top_k", "stop", "parallel_tool_calls"},
    "responses": {"max_output_tokens", "temperature", "top_p", "parallel_tool_calls"},
    "gemini": {"max_output_tokens", "temperature", "top_p", "top_k", "seed", "stop"},
}
"""Fields of a conversation that a format has words for."""
PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJg"
    "gg=="
)

# Surrogates are no text; NUL and blank texts have rules, and tests, of their own.
WORDS = st.text(
    st.characters(exclude_categories=("Cs",), exclude_characters="\0"), min_size=1, max_size=12
).filter(lambda text: text.strip() == text)
SCALARS = st.none() | st.booleans() | st.integers(-(2**60), 2**60) | WORDS
ARGUMENTS = st.dictionaries(WORDS, SCALARS | st.lists(SCALARS, max_size=2), max_size=3)
TOOL_NAMES = st.sampled_from(["look_up", "get-weather", "F2"])


@st.composite
def exchanges(draw: st.DrawFn, number: int) -> list[Turn]:
    """What the user says, what the assistant answers, and the results of its calls."""
    asked: list[Part] = [Text(text=draw(WORDS))]
    if draw(st.booleans()):
        asked.append(Image(media_type="image/png", data=PIXEL))
    calls = draw(st.lists(st.tuples(TOOL_NAMES, ARGUMENTS), max_size=3))
    said: list[Part] = [Text(text=draw(WORDS))] if not calls or draw(st.booleans()) else []
    results: list[Part] = []
    for index, (name, arguments) in enumerate(calls):
        call_id = f"call_{number}_{index}"
        text = json.dumps(arguments, ensure_ascii=False, separators=(",", ":"))
        said.append(ToolCall(id=call_id, name=name, arguments=text))
        gave = (Text(text=draw(WORDS)),)
        results.append(ToolResult(call_id=call_id, parts=gave, name=name))
    turns = [Turn("user", tuple(asked)), Turn("assistant", tuple(said))]
    return [*turns, Turn("user", tuple(results))] if results else turns


@st.composite
def conversations(draw: st.DrawFn) -> Conversation:
    turns = [turn for number in range(draw(st.integers(0, 3))) for turn in draw(exchanges(number))]
    tools = [
        Tool(
            name=name,
            description=draw(st.none() | WORDS),
            schema=Raw(b'{"type":"object","properties":{"a":{"type":"string"}}}'),
        )
        for name in ("look_up", "get-weather", "F2")
    ]
    choices = [ToolChoice("auto"), ToolChoice("none"), ToolChoice("required", ("F2",))]
    return Conversation(
        model="alias",
        system=tuple(Text(text=each) for each in draw(st.lists(WORDS, max_size=1))),
        turns=(*turns, Turn("user", (Text(text=draw(WORDS)),))),
        tools=tuple(tools),
        tool_choice=draw(st.sampled_from([None, *choices])),
        max_output_tokens=draw(st.integers(16, 4000)),
        temperature=draw(st.none() | st.sampled_from([0.0, 0.25, 1.0])),
        top_p=draw(st.none() | st.sampled_from([0.25, 0.5])),
        top_k=draw(st.none() | st.integers(1, 40)),
        seed=draw(st.none() | st.integers(0, 2**31 - 1)),
        stop=tuple(draw(st.lists(WORDS, max_size=3, unique=True))),
        parallel_tool_calls=draw(st.sampled_from([None, False])),
        stream=draw(st.booleans()),
    )


def said_by(turns: Sequence[Turn]) -> list[tuple[str, Any]]:
    """Who said what, in order; texts that follow one another are one, whatever parts them."""
    told: list[tuple[str, Any]] = []
    for turn in turns:
        for piece in _pieces(turn.parts):
            if told and isinstance(piece, str) and told[-1][0] == turn.role:
                last = told[-1][1]
                if isinstance(last, str):
                    told[-1] = (turn.role, _glued(last, piece))
                    continue
            told.append((turn.role, piece if not isinstance(piece, str) else _glued(piece)))
    return told


def _glued(*texts: str) -> str:
    """Formats join texts with or without white space between."""
    return "".join("".join(texts).split())


def _pieces(parts: Sequence[Part]) -> Iterator[Any]:
    for part in parts:
        match part:
            case Text():
                yield part.text
            case Image():
                yield ("image", part.media_type, part.data)
            case ToolCall():
                yield ("call", part.id, part.name, json.loads(part.arguments))
            case ToolResult():
                yield ("result", part.call_id, _glued(*(str(each) for each in _pieces(part.parts))))
            case _:
                raise AssertionError(part)


@DEPTHS
@EVERY
@given(conversations())
def test_a_conversation_comes_back_as_it_was(
    name: str, depth: str, conversation: Conversation
) -> None:
    fmt, over = FORMATS[name], crossing(model=MODELS[name])
    body = fmt.write_request(conversation, over)
    assert JUDGES[name](json.loads(body)) == []
    asked = Asked(MODELS[name], conversation.stream)
    again = fmt.read_request(body, asked)
    assert said_by(again.turns) == said_by(conversation.turns)
    assert [_glued(each.text) for each in again.system] == [
        _glued(each.text) for each in conversation.system
    ]
    assert again.stream == conversation.stream
    expected = {
        tool.name: tool.description for tool in conversation.tools if isinstance(tool, Tool)
    }
    assert {t.name: t.description for t in again.tools if isinstance(t, Tool)} == expected
    asked_for, chosen = conversation.tool_choice, again.tool_choice
    fields = SETTINGS[name]
    if name == "messages" and asked_for == ToolChoice("none"):
        fields = fields - {"parallel_tool_calls"}  # it is a part of the choice, and means nothing
    for field in fields:
        assert getattr(again, field) == getattr(conversation, field), field
    if asked_for is not None:
        assert chosen == asked_for
    elif chosen is not None:  # said where something else needs it
        assert chosen == ToolChoice("auto")


@DEPTHS
@EVERY
@given(conversations())
def test_what_a_format_has_no_words_for_is_named_or_watched_for(
    name: str, depth: str, conversation: Conversation
) -> None:
    over = crossing(model=MODELS[name])
    FORMATS[name].write_request(conversation, over)
    for field in ("top_p", "top_k", "seed"):
        if getattr(conversation, field) is not None and field not in SETTINGS[name]:
            kept = name == "messages" and field == "top_p"  # unless temperature is there too
            assert field in over.dropped or kept
    assert over.stops == (conversation.stop if name == "responses" else ())


PIECES = st.lists(WORDS, min_size=1, max_size=3)


@st.composite
def answers(draw: st.DrawFn) -> list[Event]:
    """What a provider says, block after block: thoughts, then words, then calls."""
    events: list[Event] = [Start("id", "model")]
    index = 0
    for kind, delta in (("reasoning", ReasoningDelta), ("text", TextDelta)):
        if draw(st.booleans()):
            events.append(BlockStart(index, kind))  # type: ignore[arg-type]
            events += [delta(index, piece) for piece in draw(PIECES)]
            events.append(BlockEnd(index))
            index += 1
    for number in range(draw(st.integers(0, 3))):
        name, arguments = draw(st.tuples(TOOL_NAMES, ARGUMENTS))
        text = json.dumps(arguments, ensure_ascii=False, separators=(",", ":"))
        cut = draw(st.integers(0, len(text)))
        events.append(BlockStart(index, "tool", f"call_{number}", name))
        events += [ToolInputDelta(index, piece) for piece in (text[:cut], text[cut:]) if piece]
        events.append(BlockEnd(index))
        index += 1
    tokens = st.integers(1, 10**6)
    usage = Usage(draw(tokens), draw(tokens), 0, draw(tokens))
    reason = draw(st.sampled_from(["stop", "length"]))
    return [*events, UsageUpdate(usage), Finish(reason)]  # type: ignore[arg-type]


def heard(answer: Answer) -> Any:
    """All of an answer that every format can say."""
    usage = answer.usage
    assert usage is not None
    return (
        ["".join(block.text for block in answer.of(kind)) for kind in ("reasoning", "text")],
        [(b.tool_id, b.tool_name, json.loads(b.text or "{}")) for b in answer.of("tool")],
        answer.reason,
        (usage.prompt_tokens, usage.cache_read_tokens, usage.completion_tokens),
    )


@DEPTHS
@EVERY
@given(answers())
def test_an_answer_comes_back_as_it_was_streamed_and_whole(
    name: str, depth: str, events: list[Event]
) -> None:
    fmt = FORMATS[name]
    expected = heard(fold(events))
    stream = write(fmt, events)
    assert heard(fold(events_of_stream(fmt, crossing(), stream, fmt.observer()))) == expected
    whole = fmt.write_response(events, crossing())
    assert heard(fold(fmt.read_response(whole, crossing()))) == expected


@DEPTHS
@pytest.mark.parametrize("client", NAMES)
@EVERY
@given(answers(), st.lists(st.integers(0, 10**5), max_size=6))
def test_an_answer_survives_every_pair_however_it_is_cut(
    name: str, client: str, depth: str, events: list[Event], cuts: list[int]
) -> None:
    """Provider's stream → client's stream → read again: nothing was lost on the way."""
    fmt, other = FORMATS[name], FORMATS[client]
    stream = write(fmt, events)
    places = sorted({0, len(stream), *(cut % (len(stream) + 1) for cut in cuts)})
    relay = Translation(fmt, other, crossing())
    out = b"".join(relay.feed(stream[at:end]) for at, end in pairwise(places))
    out += relay.close() + relay.tail()
    assert relay.fault is None
    found = heard(fold(events_of_stream(other, crossing(), out, other.observer())))
    words, calls, reason, usage = heard(fold(events))
    mark = "_gw" if words[0] else ""
    calls = [(call_id + mark, *rest) for call_id, *rest in calls]
    assert found == (words, calls, reason, usage)
