"""What holds for every stream, however it is cut, damaged or translated."""

import base64
import json
from collections.abc import Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from support.golden import CASES, CHAT, IDS, MESSAGES, crossing, format_of, others, read, write
from support.golden import translated as translate
from support.strict_gemini_stream import read_gemini
from support.strict_responses import read_responses
from support.strict_streams import Answer, read_chat, read_messages, records

from plexus_proxy.errors import Garbled, PlexusError
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
    Search,
    Searched,
    Source,
    Start,
    TextDelta,
    ToolInputDelta,
    Usage,
    UsageUpdate,
)
from plexus_proxy.formats.fold import fold
from plexus_proxy.formats.format import Format
from plexus_proxy.formats.relay import Passthrough, Translation
from plexus_proxy.formats.sse import Framer

GOLDEN = pytest.mark.parametrize("case", CASES, ids=IDS)
BOTH = pytest.mark.parametrize("fmt", [CHAT, MESSAGES], ids=["chat", "messages"])
READERS: dict[str, Any] = {
    "chat": read_chat,
    "messages": read_messages,
    "responses": read_responses,
    "gemini": read_gemini,
}
DEPTHS = pytest.mark.parametrize("depth", ["few", pytest.param("many", marks=pytest.mark.long)])
"""How many examples: the profile of hypothesis goes by the marker (conftest.py)."""
LINE_ENDS = st.sampled_from([b"\n", b"\r\n", b"\r"])


def upstream(case: Path) -> bytes:
    return (case / "upstream.sse").read_bytes()


def split(stream: bytes, cuts: Sequence[int]) -> list[bytes]:
    edges = sorted({0, len(stream), *(cut % (len(stream) + 1) for cut in cuts)})
    return [stream[a:b] for a, b in pairwise(edges)]


def bytewise(stream: bytes) -> list[bytes]:
    return split(stream, range(len(stream)))


def judge(client: Format, out: bytes) -> Answer:
    return READERS[client.name](out)


def assert_balanced(events: Sequence[Event]) -> None:
    """Start first, each block opened and closed once around its deltas, one end."""
    ends = [each for each in events if isinstance(each, Finish | Failure)]
    assert ends == list(events[-1:]), "exactly one Finish or Failure, at the end"
    starts = [each for each in events if isinstance(each, Start)]
    assert starts == [each for each in events[:1] if isinstance(each, Start)]
    assert starts or isinstance(events[-1], Failure)
    opened: dict[int, BlockStart] = {}
    closed: set[int] = set()
    signed: set[int] = set()
    for each in events:
        match each:
            case BlockStart():
                assert each.index == len(opened), "indices count up from 0"
                opened[each.index] = each
            case BlockEnd():
                assert each.index in opened
                assert each.index not in closed
                closed.add(each.index)
            case (
                TextDelta()
                | ReasoningDelta()
                | ReasoningSignature()
                | ToolInputDelta()
                | CitationDelta()
                | Searched()
            ):
                assert each.index in opened
                assert each.index not in closed
                if isinstance(each, ReasoningSignature):
                    assert each.index not in signed
                    signed.add(each.index)
            case _:
                pass
    if isinstance(events[-1], Finish):
        assert closed == opened.keys()


# Every golden stream


@GOLDEN
def test_what_we_write_for_clients_keeps_every_rule(case: Path) -> None:
    for client in others(format_of(case)):
        answer = judge(client, (case / f"to_{client.name}.sse").read_bytes())
        events = [json.loads(line) for line in (case / "events.jsonl").read_text().splitlines()]
        assert (answer.error is not None) == (events[-1]["event"] == "Failure")


WELL_FORMED = [case for case in CASES if "quirk" not in case.name and case.name != "no-args-tool"]


@GOLDEN
def test_the_judges_know_well_formed_streams(case: Path) -> None:
    """Providers send those; what only they may do, the judges refuse."""
    if case in WELL_FORMED or format_of(case) is MESSAGES:
        judge(format_of(case), upstream(case))
    elif case.name != "quirk-interleaved-tools":
        with pytest.raises(AssertionError):
            judge(format_of(case), upstream(case))


@GOLDEN
def test_golden_streams_are_balanced(case: Path) -> None:
    assert_balanced(read(format_of(case), upstream(case)))


@DEPTHS
@GOLDEN
@pytest.mark.pitfall("P39")
def test_any_cuts_between_chunks_give_the_same_bytes(case: Path, depth: str) -> None:
    fmt = format_of(case)
    stream = upstream(case)
    whole = {client.name: translate(fmt, client, [stream])[0] for client in others(fmt)}

    @given(st.lists(st.integers(0, len(stream)), max_size=20), LINE_ENDS)
    def test(cuts: list[int], end: bytes) -> None:
        chunks = split(stream.replace(b"\n", end), cuts)
        for client in others(fmt):
            assert translate(fmt, client, chunks)[0] == whole[client.name]
        relay = Passthrough(fmt, crossing())
        out = b"".join([relay.feed(chunk) for chunk in chunks]) + relay.close() + relay.tail()
        if relay.observer.ended or relay.observer.failure:
            assert out == stream.replace(b"\n", end)

    test()


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"], ids=["LF", "CRLF", "CR"])
@GOLDEN
@pytest.mark.pitfall("P39")
def test_byte_by_byte_gives_the_same_bytes(case: Path, end: bytes) -> None:
    fmt = format_of(case)
    chunks = bytewise(upstream(case).replace(b"\n", end))
    for client in others(fmt):
        out, _ = translate(fmt, client, chunks)
        assert out == (case / f"to_{client.name}.sse").read_bytes()


@GOLDEN
@pytest.mark.pitfall("P40")
def test_a_stream_without_its_last_newline_is_the_same(case: Path) -> None:
    fmt = format_of(case)
    for client in others(fmt):
        for missing in (1, 2):
            out, _ = translate(fmt, client, [upstream(case)[:-missing]])
            assert out == (case / f"to_{client.name}.sse").read_bytes()


def assert_honest(fmt: Format, stream: bytes, at: int) -> None:
    """A stream that is cut is an error for the client, unless its finish had been told."""
    cut = stream[:at]
    complete = told_its_finish(fmt, cut)
    for client in others(fmt):
        out, relay = translate(fmt, client, [cut])
        answer = judge(client, out)
        assert (answer.error is None) == (relay.fault is None) == complete
    passthrough = Passthrough(fmt, crossing())
    out = passthrough.feed(cut) + passthrough.close()
    assert (passthrough.fault is None) == complete
    if fmt.done:
        ends = out.replace(b"\r\n", b"\n").rstrip().endswith(fmt.done.rstrip())
        assert ends == complete


def told_its_finish(fmt: Format, stream: bytes) -> bool:
    """Read without the package: a whole record says why the answer ended, none says error."""
    is_told = False
    for record in stream.decode(errors="replace").replace("\r\n", "\n").split("\n\n"):
        data = record.partition("data:")[2].strip()
        try:
            value = json.loads(data)
        except ValueError:
            continue
        if value.get("error") or value.get("type") in ("error", "response.failed"):
            return False
        is_told |= value.get("type") in ("response.completed", "response.incomplete")
        choices = value.get("choices") or [{}]
        is_told |= bool(choices[0].get("finish_reason"))
        candidates = value.get("candidates") or [{}]
        reason = candidates[0].get("finishReason")
        is_told |= bool(reason) and reason != "MALFORMED_FUNCTION_CALL"  # nothing was said
        delta = value.get("delta")
        is_told |= isinstance(delta, dict) and bool(delta.get("stop_reason"))
    return is_told


@GOLDEN
@pytest.mark.pitfall("P14", "P38")
def test_a_stream_cut_anywhere_ends_honestly(case: Path) -> None:
    fmt = format_of(case)
    stream = upstream(case)

    @given(st.integers(0, len(stream)))
    def test(at: int) -> None:
        assert_honest(fmt, stream, at)

    test()


@pytest.mark.long
@pytest.mark.parametrize("end", [b"\n", b"\r\n"], ids=["LF", "CRLF"])
@GOLDEN
@pytest.mark.pitfall("P14", "P38")
def test_a_stream_cut_at_every_byte_ends_honestly(case: Path, end: bytes) -> None:
    stream = upstream(case).replace(b"\n", end)
    for at in range(len(stream) + 1):
        assert_honest(format_of(case), stream, at)


@GOLDEN
def test_cut_streams_are_balanced(case: Path) -> None:
    frames = upstream(case).split(b"\n\n")
    for count in range(len(frames)):
        cut = b"".join(frame + b"\n\n" for frame in frames[:count])
        assert_balanced(read(format_of(case), cut))


@DEPTHS
@GOLDEN
def test_damaged_streams_end_honestly(case: Path, depth: str) -> None:
    """Frames lost, doubled, swapped, or with a value of another type: the client's stream still
    keeps all rules of its format, or says that something went wrong."""
    fmt = format_of(case)
    frames = [each + b"\n\n" for each in upstream(case).split(b"\n\n") if each]

    @given(st.data())
    def test(data: st.DataObject) -> None:
        order = data.draw(
            st.lists(st.integers(0, len(frames) - 1), min_size=1, max_size=len(frames) + 3)
        )
        chosen = [frames[index] for index in (sorted(order) if data.draw(st.booleans()) else order)]
        chosen = [damaged(data, each) if data.draw(st.booleans()) else each for each in chosen]
        stream = b"".join(chosen)
        for client in others(fmt):
            out, relay = translate(fmt, client, [stream])
            answer = READERS[client.name](out, sound=False)
            assert (relay.fault is None) == (answer.error is None)
        with suppress(Garbled):
            assert_balanced(read(fmt, stream))
        relay = Passthrough(fmt, crossing())
        relay.feed(stream)
        relay.close()

    test()


def damaged(data: st.DataObject, frame: bytes) -> bytes:
    """The frame with one of its values replaced."""
    head, mark, text = frame.partition(b"data: ")
    try:
        value = json.loads(text)
    except ValueError:
        return frame
    places: list[tuple[Any, Any]] = []

    def walk(at: Any) -> None:
        if isinstance(at, dict | list):
            for key in list(at) if isinstance(at, dict) else range(len(at)):
                places.append((at, key))
                walk(at[key])

    walk(value)
    if places:
        holder, key = data.draw(st.sampled_from(places))
        holder[key] = data.draw(
            st.sampled_from([None, "", "x", 0, -1, 1.5, True, [], {}, [{}], "tool_use", "text"])
        )
    return head + mark + json.dumps(value).encode() + b"\n\n"


# Random canonical streams

TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=("Cs",)), min_size=1, max_size=12)
PIECES = st.lists(TEXTS, min_size=1, max_size=3)
OBJECTS = st.dictionaries(TEXTS, st.integers() | TEXTS | st.none() | st.booleans(), max_size=3)
COUNTS = st.integers(0, 10**6)
USAGES = st.builds(Usage, COUNTS, COUNTS, COUNTS, COUNTS, COUNTS)


@st.composite
def arguments(draw: st.DrawFn) -> list[str]:
    text = json.dumps(draw(OBJECTS), ensure_ascii=False)
    return [piece.decode() for piece in _cut_text(text, draw(st.lists(st.integers(0, 99))))]


def _cut_text(text: str, cuts: list[int]) -> list[bytes]:
    edges = sorted({0, len(text), *(cut % len(text) for cut in cuts)})
    return [text[a:b].encode() for a, b in pairwise(edges)]


@st.composite
def blocks(draw: st.DrawFn, index: int, kind: str) -> list[Event]:
    match kind:
        case "tool":
            start = BlockStart(index, "tool", f"call_{index}", draw(st.sampled_from("fg")))
            return [start, *(ToolInputDelta(index, p) for p in draw(arguments())), BlockEnd(index)]
        case "reasoning" | "signed":
            told: list[Event] = [BlockStart(index, "reasoning")]
            told += [ReasoningDelta(index, piece) for piece in draw(PIECES)]
            if kind == "signed":
                opaque = Opaque("sig", draw(TEXTS), "acme", "sample-1")
                told.append(ReasoningSignature(index, opaque))
            return [*told, BlockEnd(index)]
        case "sealed":
            opaque = Opaque("redacted", draw(TEXTS), "acme", "sample-1")
            return [
                BlockStart(index, "reasoning"),
                ReasoningSignature(index, opaque),
                BlockEnd(index),
            ]
        case "custom":
            start = BlockStart(index, "tool", f"call_{index}", "f", custom=True)
            return [start, *(ToolInputDelta(index, p) for p in draw(PIECES)), BlockEnd(index)]
        case "refusal":
            deltas = [TextDelta(index, piece) for piece in draw(PIECES)]
            return [BlockStart(index, "refusal"), *deltas, BlockEnd(index)]
        case "cited":
            text = draw(TEXTS)
            end = draw(st.none() | st.integers(0, len(text)))
            cited = Citation("https://a", draw(TEXTS), draw(TEXTS), 0 if end else None, end)
            return [
                BlockStart(index, "text"),
                TextDelta(index, text),
                CitationDelta(index, cited),
                BlockEnd(index),
            ]
        case "searched":
            search = Search((draw(TEXTS),), error="unavailable")
            if draw(st.booleans()):
                pages = [
                    Source(f"https://{at}", draw(TEXTS)) for at in range(draw(st.integers(0, 3)))
                ]
                search = Search(search.queries, tuple(pages))
            return [BlockStart(index, "search"), Searched(index, search), BlockEnd(index)]
        case _:
            deltas = [TextDelta(index, piece) for piece in draw(PIECES)]
            return [BlockStart(index, "text"), *deltas, BlockEnd(index)]


@st.composite
def streams(draw: st.DrawFn, kinds: Sequence[str], *, mergeable: bool) -> list[Event]:
    """`mergeable`: also blocks of the same kind one after the other, which Chat makes one of."""
    chosen = draw(st.lists(st.sampled_from(kinds), max_size=5))
    if not mergeable:
        assume(all(a != b or a not in ("text", "reasoning") for a, b in pairwise(chosen)))
        assume(all((a, b) != ("reasoning", "signed") for a, b in pairwise(chosen)))
        assume(all((a, b) != ("reasoning", "sealed") for a, b in pairwise(chosen)))
    events: list[Event] = [Start("id", "model")]
    for index, kind in enumerate(chosen):
        events += draw(blocks(index, kind))
    events.append(UsageUpdate(draw(USAGES)))
    has_calls = "tool" in chosen or "custom" in chosen
    reasons = ["length", "content_filter", "tool_calls" if has_calls else "stop"]
    events.append(Finish(draw(st.sampled_from(reasons))))  # type: ignore[arg-type]
    return events


KINDS = ("text", "reasoning", "signed", "tool")


def reread(fmt: Format, events: Sequence[Event]) -> list[Event]:
    """Read back what was written; ids and the opaque state's envelope are undone."""
    found: list[Event] = []
    for each in read(fmt, write(fmt, events)):
        if isinstance(each, Start):
            each = Start("id", each.model)
        if isinstance(each, ReasoningSignature) and each.opaque.data.startswith("gw1."):
            each = msgspec.structs.replace(each, opaque=unsealed(each.opaque.data))
        found.append(each)
    return found


def unsealed(envelope: str) -> Opaque:
    code = envelope.removeprefix("gw1.")
    told = json.loads(base64.urlsafe_b64decode(code + "=" * (-len(code) % 4)))
    return Opaque(told["kind"], told["data"], told["issuer"], told["model"])


@DEPTHS
@given(events=streams(KINDS, mergeable=False))
def test_chat_reads_back_what_it_writes(depth: str, events: list[Event]) -> None:
    assert reread(CHAT, events) == events


@DEPTHS
@given(
    events=streams((*KINDS, "sealed", "searched"), mergeable=True).filter(
        lambda told: len(told) > 3
    )
)
def test_messages_reads_back_what_it_writes(depth: str, events: list[Event]) -> None:
    """Except for an answer without any block, which gets an empty one."""
    assert reread(MESSAGES, events) == events


ALL_KINDS = (*KINDS, "sealed", "refusal", "cited", "searched")


@DEPTHS
@given(streams((*ALL_KINDS, "custom"), mergeable=True), st.booleans())
def test_streamed_and_whole_completions_agree(
    depth: str, events: list[Event], show_reasoning: bool
) -> None:
    options = {"show_reasoning": show_reasoning}
    streamed = read_chat(write(CHAT, events, **options))
    whole = json.loads(CHAT.write_response(events, crossing(**options)))
    assert streamed.usage == whole["usage"]
    assert_agrees_with_completion(streamed, whole["choices"][0])


@DEPTHS
@given(streams(ALL_KINDS, mergeable=True))
def test_streamed_and_whole_completions_agree_for_clients_of_functions(
    depth: str, events: list[Event]
) -> None:
    streamed = read_chat(write(CHAT, events, legacy_functions=True))
    whole = json.loads(CHAT.write_response(events, crossing(legacy_functions=True)))
    assert_agrees_with_completion(streamed, whole["choices"][0])


@DEPTHS
@given(streams(ALL_KINDS, mergeable=True), st.booleans())
def test_streamed_and_whole_messages_agree(
    depth: str, events: list[Event], show_reasoning: bool
) -> None:
    options = {"show_reasoning": show_reasoning}
    streamed = read_messages(write(MESSAGES, events, **options))
    whole = json.loads(MESSAGES.write_response(events, crossing(**options)))
    assert streamed.usage == whole["usage"]
    assert_agrees_with_message(streamed, whole)


def assert_agrees_with_completion(streamed: Answer, choice: dict[str, Any]) -> None:
    message = choice["message"]
    assert streamed.reason == choice["finish_reason"]
    assert streamed.text == (message["content"] or "")
    assert streamed.refusal == (message["refusal"] or "")
    annotations = [each["url_citation"] for each in message.get("annotations", ())]
    assert streamed.citations == annotations
    assert streamed.reasoning == message.get("reasoning_content", "")
    details = message.get("reasoning_details", ())
    assert streamed.states == [each.get("signature") or each["data"] for each in details]
    calls = [each.get("function") or each["custom"] for each in message.get("tool_calls", ())]
    calls += [message["function_call"]] if "function_call" in message else []
    assert [(each.name, each.input) for each in streamed.tools] == [
        (each["name"], each.get("arguments") or each["input"]) for each in calls
    ]


def assert_same_blocks(streamed: Sequence[str], whole: Sequence[str]) -> None:
    """Only whole texts can be taken apart where something is cited: those of streams have gone."""

    def counted(kinds: Sequence[str]) -> list[str]:
        return [each for at, each in enumerate(kinds) if (each, *kinds[:at][-1:]) != ("text",) * 2]

    assert counted(streamed) == counted(whole)


def assert_agrees_with_message(streamed: Answer, message: dict[str, Any]) -> None:
    content = message["content"]
    assert streamed.reason == message["stop_reason"]
    assert_same_blocks(streamed.blocks, [block["type"] for block in content])
    assert streamed.text == "".join(block.get("text", "") for block in content)
    assert streamed.reasoning == "".join(block.get("thinking", "") for block in content)
    assert streamed.citations == [each for block in content for each in block.get("citations", ())]
    states = [block.get("signature") or block.get("data") for block in content]
    assert streamed.states == [state for state in states if state]
    assert [(each.id, each.value) for each in streamed.tools] == [
        (block["id"], block["input"]) for block in content if block["type"] == "tool_use"
    ]
    searches = [block["input"] for block in content if block["type"] == "server_tool_use"]
    assert streamed.searches == [each["query"] for each in searches]
    results = [b["content"] for b in content if b["type"] == "web_search_tool_result"]
    found = [each for content in results if isinstance(content, list) for each in content]
    assert streamed.sources == [each["url"] for each in found]


@DEPTHS
@BOTH
@given(streams((*KINDS, "sealed", "searched"), mergeable=True), st.data())
def test_blocks_side_by_side_say_the_same(
    fmt: Format, depth: str, events: list[Event], data: st.DataObject
) -> None:
    """Interleaved pieces of blocks, as parallel calls come in, are put in order for the client."""
    by_block = {
        start.index: [e for e in events if getattr(e, "index", None) == start.index]
        for start in events
        if isinstance(start, BlockStart)
    }
    mixed: list[Event] = [events[0]]
    waiting = [by_block[index] for index in sorted(by_block)]
    opened: list[list[Event]] = []
    while waiting or opened:
        if waiting and (not opened or data.draw(st.booleans())):
            opened.append(waiting.pop(0))
            mixed.append(opened[-1].pop(0))
            continue
        chosen = data.draw(st.sampled_from(range(len(opened))))
        mixed.append(opened[chosen].pop(0))
        if not opened[chosen]:
            opened.pop(chosen)
    mixed += events[-2:]
    assert_balanced(mixed)
    assert fold(mixed) == fold(events)
    streamed, ordered = judge(fmt, write(fmt, mixed)), judge(fmt, write(fmt, events))
    assert streamed.tools == ordered.tools
    assert streamed.blocks == ordered.blocks
    if fmt is MESSAGES:
        assert streamed == ordered


@DEPTHS
@BOTH
@given(streams(KINDS, mergeable=False), st.lists(st.integers(0, 10**6), max_size=10), LINE_ENDS)
def test_any_answer_survives_translation(
    fmt: Format, depth: str, events: list[Event], cuts: list[int], end: bytes
) -> None:
    """Whatever a provider says in its format reaches a client of the other one."""
    client = others(fmt)[0]
    chunks = split(write(fmt, events).replace(b"\n", end), cuts)
    out, relay = translate(fmt, client, chunks)
    answer = judge(client, out)
    assert relay.fault is None
    assert answer.text == "".join(e.text for e in events if isinstance(e, TextDelta))
    assert answer.reasoning == "".join(e.text for e in events if isinstance(e, ReasoningDelta))
    assert [tool.value for tool in answer.tools] == [
        json.loads(block.text) for block in fold(events).of("tool")
    ]
    assert_balanced(read(fmt, b"".join(chunks)))


@DEPTHS
@BOTH
@given(streams(KINDS, mergeable=True), st.data())
def test_a_failure_anywhere_is_the_last_word(
    fmt: Format, depth: str, events: list[Event], data: st.DataObject
) -> None:
    """From outside (fail) as from within."""
    client = others(fmt)[0]
    stream = write(fmt, events)
    at = data.draw(st.integers(0, len(stream)))
    relay = Translation(fmt, client, crossing())
    out = relay.feed(stream[:at]) + relay.fail(PlexusError("Lost.")) + relay.tail()
    answer = judge(client, out)
    ended = stream[:at].rpartition(b"\n\n")[0]  # a record without its blank line does not count
    assert (answer.error is None) == told_its_finish(fmt, ended)
    assert relay.feed(stream[at:]) + relay.close() + relay.tail() == b""


@pytest.mark.pitfall("P22")
def test_every_chunk_gives_the_client_something() -> None:
    """P22: nothing is kept back that could be said."""
    for case in CASES:
        fmt = format_of(case)
        if "interleaved-tools" in case.name:
            continue  # the second call has to wait
        for client in others(fmt):
            relay = Translation(fmt, client, crossing())
            for frame in Framer().feed(upstream(case)):
                says = any(word in frame.data for word in (b'"content":"T', b"text_delta"))
                out = relay.feed(frame.raw)
                assert out or not says
                assert not out or records(out)
