"""Responses stream → canonical events.

The wire is built of output items, each with parts of its own; a block is a reasoning item, one
content part of a message, or a call. Servers differ in what they bother to send: whatever a later
event tells in full (`…done`, `output_item.done`, the final response) and no delta has told before
is made up for, nothing is told twice. Hosted tools have no blocks, but for searches, which are told
when they are done.

Source: OpenAI API reference, "Streaming events"; translation rules §15.2, §15.5.
"""

from collections.abc import Callable, Sequence

import msgspec
from msgspec import Raw, UnsetType
from msgspec.structs import replace

from plexus_proxy.errors import Garbled
from plexus_proxy.formats.conversation import Crossing
from plexus_proxy.formats.events import (
    BlockEnd,
    BlockKind,
    BlockStart,
    CitationDelta,
    Event,
    Failure,
    Finish,
    Logprobs,
    ReasoningDelta,
    ReasoningSignature,
    Searched,
    Start,
    TextDelta,
    ToolInputDelta,
    UsageUpdate,
)
from plexus_proxy.formats.fold import final_reason
from plexus_proxy.formats.logprobs import read_tokens
from plexus_proxy.formats.refusals import read_refusal
from plexus_proxy.formats.responses import events as wire
from plexus_proxy.formats.responses.observer import CALLS
from plexus_proxy.formats.responses.places import Places
from plexus_proxy.formats.responses.reasons import read_reason
from plexus_proxy.formats.responses.response import PARAGRAPH, read_citation, read_state
from plexus_proxy.formats.responses.searches import CALL as SEARCH
from plexus_proxy.formats.responses.searches import read_search
from plexus_proxy.formats.responses.usage import known_usage
from plexus_proxy.formats.sse import Frame

_DELTAS: dict[BlockKind, Callable[[int, str], Event]] = {
    "text": TextDelta,
    "refusal": TextDelta,
    "reasoning": ReasoningDelta,
    "tool": ToolInputDelta,
}
_WHOLE_PART = -1
"""Content index of the only block of an item that is no message."""


class _Block:
    """An open block."""

    __slots__ = ("citations", "index", "kind", "likely", "piece", "pieces", "told")

    def __init__(self, index: int, kind: BlockKind) -> None:
        self.index = index
        self.kind: BlockKind = kind
        self.told = 0
        """Characters of the current piece that have been passed on."""
        self.pieces: str | None = None
        """Of reasoning: "summary" or "content", whichever came first; the other repeats it."""
        self.piece = 0
        self.citations = 0
        self.likely = 0
        """Tokens whose probabilities have been passed on."""


class ResponsesReader:
    """See Reader."""

    __slots__ = (
        "_blocks",
        "_calls",
        "_closed",
        "_crossing",
        "_done",
        "_ended",
        "_next",
        "_places",
        "_refused",
        "_started",
        "skipped",
    )

    def __init__(self, crossing: Crossing) -> None:
        self._crossing = crossing
        self._started = False
        self._done = False
        self._refused = False
        self._calls = 0
        self._next = 0
        self._places = Places()
        self._blocks: dict[tuple[int, int], _Block] = {}
        """Open blocks by output and content index."""
        self._ended: set[tuple[int, int]] = set()
        """Blocks that are over."""
        self._closed: set[int] = set()
        """Output indices that are done."""
        self.skipped = 0
        """Frames of a shape we do not know."""

    def feed(self, frame: Frame) -> Sequence[Event]:
        if not frame.data or self._done:
            return ()
        try:
            event = wire.read_event(frame.data)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            if frame.data.startswith(b"[DONE]"):
                return ()
            raise Garbled("The provider's stream holds an event that is no JSON.") from error
        if event is None:
            self.skipped += 1
            return ()
        if event.type in wire.FAILED or (not event.type and b'"error"' in frame.data):
            self._done = True
            return (Failure(read_refusal(200, {}, frame.data, in_stream=True)),)
        read = self._READ.get(event.type)
        if read is None:
            return ()
        place = self._places.of(event)
        if place != event.output_index:
            event = replace(event, output_index=place)
        events: list[Event] = []
        read(self, event, events)
        return events

    def close(self) -> Sequence[Event]:
        if self._done:
            return ()
        self._done = True
        error = Garbled(
            "The provider's stream ended before the answer was complete.", code="upstream_cut"
        )
        return (Failure(error),)

    def _begin(self, events: list[Event], response: wire.Response | None = None) -> None:
        if not self._started:
            self._started = True
            found = response or wire.Response()
            events.append(Start(found.id or "", found.model or self._crossing.model))

    def _created(self, event: wire.SentEvent, events: list[Event]) -> None:
        self._begin(events, event.response)

    def _open(
        self,
        key: tuple[int, int],
        kind: BlockKind,
        events: list[Event],
        item: wire.Item | None = None,
    ) -> _Block:
        self._begin(events)
        for other in [each for each, open_ in self._blocks.items() if open_.kind != "tool"]:
            self._end_block(other, events)  # only calls may be told side by side
        self._places.opened(key[0], kind)
        block = self._blocks[key] = _Block(self._next, kind)
        self._next += 1
        tool_id = name = ""
        custom = False
        if kind == "tool":
            if item is None or not item.name:
                raise Garbled("The provider's answer calls a tool without naming it.")
            self._calls += 1
            tool_id = item.call_id or ""
            name = self._crossing.tool_names.get(item.name, item.name)
            custom = item.type == "custom_tool_call"
        events.append(BlockStart(block.index, kind, tool_id, name, custom))
        return block

    def _block(self, key: tuple[int, int], kind: BlockKind, events: list[Event]) -> _Block | None:
        """The block that deltas of `kind` belong to; opened if need be, None if it is over."""
        if key[0] in self._closed or key in self._ended:
            return None
        block = self._blocks.get(key)
        return block or (self._open(key, kind, events) if kind != "tool" else None)

    def _end_block(self, key: tuple[int, int], events: list[Event]) -> None:
        self._ended.add(key)
        events.append(BlockEnd(self._blocks.pop(key).index))

    def _tell(self, block: _Block, text: str, events: list[Event]) -> None:
        if text:
            block.told += len(text)
            events.append(_DELTAS[block.kind](block.index, text))

    def _make_up(self, block: _Block, whole: str | None, events: list[Event]) -> None:
        """What of `whole` no delta has told."""
        if whole is not None and len(whole) > block.told:
            self._tell(block, whole[block.told :], events)

    def _make_up_tokens(self, block: _Block, whole: Raw | UnsetType, events: list[Event]) -> None:
        if missing := read_tokens(whole)[block.likely :]:
            block.likely += len(missing)
            events.append(Logprobs(block.index, missing))

    # Items

    def _item_added(self, event: wire.SentEvent, events: list[Event]) -> None:
        item = event.item
        if item is not None and item.type in CALLS:
            key = (event.output_index, _WHOLE_PART)
            if key not in self._blocks and event.output_index not in self._closed:
                block = self._open(key, "tool", events, item)
                self._tell(block, item.arguments or item.input or "", events)

    def _item_done(self, event: wire.SentEvent, events: list[Event]) -> None:
        if event.item is not None:
            self._finish_item(event.output_index, event.item, events)

    def _finish_item(self, output_index: int, item: wire.Item, events: list[Event]) -> None:
        if output_index in self._closed:
            return
        if item.type == "message":
            self._finish_message(output_index, item, events)
        elif item.type == "reasoning":
            self._finish_reasoning(output_index, item, events)
        elif item.type in CALLS:
            key = (output_index, _WHOLE_PART)
            block = self._blocks.get(key) or self._open(key, "tool", events, item)
            self._make_up(block, item.input or item.arguments, events)
        elif item.type == SEARCH and (search := read_search(item)) is not None:
            block = self._open((output_index, _WHOLE_PART), "search", events)
            events.append(Searched(block.index, search))
        for key in [each for each in self._blocks if each[0] == output_index]:
            self._end_block(key, events)
        self._closed.add(output_index)

    def _finish_message(self, output_index: int, item: wire.Item, events: list[Event]) -> None:
        for number, part in enumerate(item.content or ()):
            if part.refusal or part.text:
                self._finish_part((output_index, number), part, events)

    def _finish_part(self, key: tuple[int, int], part: wire.Piece, events: list[Event]) -> None:
        block = self._block(key, "refusal" if part.refusal else "text", events)
        if block is None:
            return
        self._refused = self._refused or block.kind == "refusal"
        if block.kind == "text":
            self._make_up_tokens(block, part.logprobs, events)
        self._make_up(block, part.refusal or part.text, events)
        for annotation in (part.annotations or ())[block.citations :]:
            self._cite(block, annotation, events)

    def _finish_reasoning(self, output_index: int, item: wire.Item, events: list[Event]) -> None:
        key = (output_index, _WHOLE_PART)
        pieces = [piece.text or "" for piece in item.summary or item.content or ()]
        state = read_state(item, self._crossing)
        block = self._blocks.get(key)
        if block is None:
            if key in self._ended or (not any(pieces) and state is None):
                return
            block = self._open(key, "reasoning", events)
            self._tell(block, PARAGRAPH.join(piece for piece in pieces if piece), events)
        if state is not None:
            events.append(ReasoningSignature(block.index, state))

    # Deltas

    def _text(self, event: wire.SentEvent, events: list[Event]) -> None:
        block = self._block((event.output_index, event.content_index), "text", events)
        if block is not None:
            if likely := read_tokens(event.logprobs):
                block.likely += len(likely)
                events.append(Logprobs(block.index, likely))
            self._tell(block, event.delta or "", events)

    def _text_done(self, event: wire.SentEvent, events: list[Event]) -> None:
        if event.text:
            block = self._block((event.output_index, event.content_index), "text", events)
            if block is not None:
                self._make_up_tokens(block, event.logprobs, events)
                self._make_up(block, event.text, events)

    def _refusal(self, event: wire.SentEvent, events: list[Event]) -> None:
        self._refused = True
        block = self._block((event.output_index, event.content_index), "refusal", events)
        if block is not None:
            self._tell(block, event.delta or "", events)

    def _annotation(self, event: wire.SentEvent, events: list[Event]) -> None:
        block = self._blocks.get((event.output_index, event.content_index))
        if block is not None and event.annotation is not None:
            self._cite(block, event.annotation, events)

    def _cite(self, block: _Block, annotation: wire.Annotation, events: list[Event]) -> None:
        block.citations += 1
        if (citation := read_citation(annotation)) is not None:
            events.append(CitationDelta(block.index, citation))

    def _summary(self, event: wire.SentEvent, events: list[Event]) -> None:
        self._reason("summary", event.summary_index, event, events)

    def _raw_reasoning(self, event: wire.SentEvent, events: list[Event]) -> None:
        self._reason("content", event.content_index, event, events)

    def _reason(self, pieces: str, piece: int, event: wire.SentEvent, events: list[Event]) -> None:
        block = self._block((event.output_index, _WHOLE_PART), "reasoning", events)
        if block is None or (block.pieces or pieces) != pieces:
            return
        block.pieces = pieces
        if piece != block.piece:
            block.piece, block.told = piece, 0
            events.append(ReasoningDelta(block.index, PARAGRAPH))
        if event.delta is not None:
            self._tell(block, event.delta, events)
        else:
            self._make_up(block, event.text, events)

    def _input(self, event: wire.SentEvent, events: list[Event]) -> None:
        block = self._block((event.output_index, _WHOLE_PART), "tool", events)
        if block is not None:
            self._tell(block, event.delta or "", events)

    def _input_done(self, event: wire.SentEvent, events: list[Event]) -> None:
        block = self._block((event.output_index, _WHOLE_PART), "tool", events)
        if block is not None:
            self._make_up(block, event.input or event.arguments, events)

    # The end

    def _end(self, event: wire.SentEvent, events: list[Event]) -> None:
        response = event.response or wire.Response()
        self._begin(events, response)
        for position, item in enumerate(response.output or ()):
            self._finish_item(self._places.of_final(position, item), item, events)
        for key in list(self._blocks):
            self._end_block(key, events)
        if (usage := known_usage(response.usage)) is not None:
            events.append(UsageUpdate(usage))
        incomplete = response.incomplete_details
        reason = read_reason(incomplete.reason if incomplete else None)
        if event.type == "response.incomplete" and reason == "stop":
            reason = "length"
        if reason == "stop" and self._refused:
            reason = "refusal"
        self._done = True
        events.append(Finish(final_reason(reason, self._calls > 0)))

    _READ: dict[str, Callable[..., None]] = {  # noqa: RUF012 - never changed
        "response.created": _created,
        "response.in_progress": _created,
        "response.output_item.added": _item_added,
        "response.output_item.done": _item_done,
        "response.output_text.delta": _text,
        "response.output_text.done": _text_done,
        "response.output_text.annotation.added": _annotation,
        "response.refusal.delta": _refusal,
        "response.reasoning_summary_text.delta": _summary,
        "response.reasoning_summary_text.done": _summary,
        "response.reasoning_text.delta": _raw_reasoning,
        "response.reasoning_text.done": _raw_reasoning,
        "response.function_call_arguments.delta": _input,
        "response.function_call_arguments.done": _input_done,
        "response.custom_tool_call_input.delta": _input,
        "response.custom_tool_call_input.done": _input_done,
        "response.completed": _end,
        "response.incomplete": _end,
    }
