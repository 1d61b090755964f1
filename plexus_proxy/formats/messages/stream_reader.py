"""Messages stream → canonical events.

The wire is built of blocks like the canonical stream, but a search is one block, told when its
result is there, and other server tools and their results are left out, so indices are counted anew.
A block ends at its content_block_stop, or where the next one starts if
the server forgot it. The stop reason is held until message_stop or the stream's end; without any
the answer was cut. Input of a custom tool that is emulated by a function is held until it is whole,
to be unwrapped.

Source: Anthropic API reference, "Streaming Messages"; translation rules §15.5.
"""

from collections.abc import Callable, Sequence

import msgspec

from plexus_proxy.errors import Garbled
from plexus_proxy.formats import arguments
from plexus_proxy.formats import body as bodies
from plexus_proxy.formats.conversation import Crossing
from plexus_proxy.formats.events import (
    BlockEnd,
    BlockKind,
    BlockStart,
    Citation,
    CitationDelta,
    Event,
    Failure,
    Finish,
    Opaque,
    OpaqueKind,
    ReasoningDelta,
    ReasoningSignature,
    Searched,
    Start,
    TextDelta,
    ToolInputDelta,
    UsageUpdate,
)
from plexus_proxy.formats.fold import final_reason
from plexus_proxy.formats.messages import stream_events as wire
from plexus_proxy.formats.messages.errors import read_error
from plexus_proxy.formats.messages.reasons import read_reason
from plexus_proxy.formats.messages.searches import CALL, RESULT, Searches
from plexus_proxy.formats.messages.usage import WireUsage, merge_usage, read_usage
from plexus_proxy.formats.sse import Frame
from plexus_proxy.formats.websearch import NAME as WEB_SEARCH

_STRING = msgspec.json.Decoder(str)
_EMPTY_INPUT = "{}"
_KINDS: dict[str, BlockKind] = {
    "text": "text",
    "thinking": "reasoning",
    "redacted_thinking": "reasoning",
    "tool_use": "tool",
}
_KIND_OF_DELTA: dict[str | None, BlockKind] = {
    "text_delta": "text",
    "citations_delta": "text",
    "thinking_delta": "reasoning",
    "signature_delta": "reasoning",
    "input_json_delta": "tool",
}


class _Block:
    """An open block."""

    __slots__ = ("custom", "held", "index", "kind", "signature", "whole_input")

    def __init__(self, index: int, kind: BlockKind) -> None:
        self.index = index
        self.kind: BlockKind = kind
        self.custom = False
        self.held: list[str] = []
        """Input of a custom tool."""
        self.whole_input = ""
        """Input a server put into the block's start; counts if no delta follows."""
        self.signature = ""


class MessagesReader:
    """See Reader."""

    __slots__ = (
        "_blocks",
        "_calls",
        "_crossing",
        "_done",
        "_next",
        "_searches",
        "_started",
        "_stop_reason",
        "_stop_sequence",
        "_usage",
        "skipped",
    )

    def __init__(self, crossing: Crossing) -> None:
        self._crossing = crossing
        self._started = False
        self._done = False
        self._next = 0
        self._calls = 0
        self._blocks: dict[int, _Block | None] = {}
        """Open blocks by their index on the wire; None: one that is left out."""
        self._searches = Searches()
        self._stop_reason: str | None = None
        self._stop_sequence: str | None = None
        self._usage: WireUsage | None = None
        self.skipped = 0
        """Frames of a shape we do not know."""

    def feed(self, frame: Frame) -> Sequence[Event]:
        if not frame.data or self._done:
            return ()
        try:
            event = wire.read_event(frame.data)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Garbled("The provider's stream holds an event that is no JSON.") from error
        if wire.is_error(event, frame):
            self._done = True
            return (Failure(read_error(200, {}, frame.data, in_stream=True)),)
        if event is None:
            self.skipped += 1
            return ()
        read = self._READ.get(event.type)
        if read is None:
            return ()
        events: list[Event] = []
        read(self, event, events)
        return events

    def close(self) -> Sequence[Event]:
        events: list[Event] = []
        if not self._done:
            self._end(events, is_complete=self._stop_reason is not None)
        return events

    def _end(self, events: list[Event], *, is_complete: bool) -> None:
        self._done = True
        if not is_complete:
            error = Garbled(
                "The provider's stream ended before the answer was complete.", code="upstream_cut"
            )
            events.append(Failure(error))
            return
        self._begin(wire.SentMessage(), events)
        self._close_all(events)
        if self._usage is not None:
            events.append(UsageUpdate(read_usage(self._usage)))
        reason = read_reason(self._stop_reason or "end_turn")
        events.append(Finish(final_reason(reason, self._calls > 0), self._stop_sequence))

    def _begin(self, message: wire.SentMessage, events: list[Event]) -> None:
        if not self._started:
            self._started = True
            usage = read_usage(message.usage) if message.usage is not None else None
            events.append(Start(message.id or "", message.model or self._crossing.model, usage))

    def _count(self, told: WireUsage | None) -> None:
        if told is not None:
            self._usage = told if self._usage is None else merge_usage(self._usage, told)

    def _message_start(self, event: wire.SentEvent, events: list[Event]) -> None:
        message = event.message or wire.SentMessage()
        self._count(message.usage)
        self._begin(message, events)

    def _block_start(self, event: wire.SentEvent, events: list[Event]) -> None:
        sent = event.content_block
        if sent is None:
            return
        kind = _KINDS.get(sent.type)
        if kind == "tool" and not sent.name:
            raise Garbled("The provider's answer calls a tool without naming it.")
        is_redacted = sent.type == "redacted_thinking"
        redacted = bodies.decode_answer(_STRING, sent.data) if is_redacted else ""
        self._close_all(events)
        if kind is None:
            self._blocks[event.index] = None
            self._server_tool(event.index, sent, events)
            return
        block = self._open(event.index, kind, events, sent)
        if sent.text:
            events.append(TextDelta(block.index, sent.text))
        if sent.thinking:
            events.append(ReasoningDelta(block.index, sent.thinking))
        if is_redacted:
            events.append(ReasoningSignature(block.index, self._opaque("redacted", redacted)))
        block.signature = sent.signature or ""
        if kind == "tool":
            given = arguments.as_text(sent.input)
            block.whole_input = "" if given in (_EMPTY_INPUT, "null") else given

    def _server_tool(self, index: int, sent: wire.SentBlock, events: list[Event]) -> None:
        if sent.type == CALL and sent.name == WEB_SEARCH:
            self._searches.called(index, sent.id, sent.input)
        elif sent.type == RESULT:
            self._begin(wire.SentMessage(), events)
            search = self._searches.found(sent.tool_use_id, sent.content)
            events += (
                BlockStart(self._next, "search"),
                Searched(self._next, search),
                BlockEnd(self._next),
            )
            self._next += 1

    def _open(
        self,
        wire_index: int,
        kind: BlockKind,
        events: list[Event],
        sent: wire.SentBlock | None = None,
    ) -> _Block:
        self._begin(wire.SentMessage(), events)
        block = self._blocks[wire_index] = _Block(self._next, kind)
        self._next += 1
        tool_id = name = ""
        if kind == "tool" and sent is not None:
            self._calls += 1
            tool_id = sent.id or ""
            name = self._crossing.tool_names.get(sent.name or "", sent.name or "")
            block.custom = name in self._crossing.custom_tools
        events.append(BlockStart(block.index, kind, tool_id, name, block.custom))
        return block

    def _block_delta(self, event: wire.SentEvent, events: list[Event]) -> None:
        delta = event.delta
        if delta is None:
            return
        if delta.partial_json and self._searches.told(event.index, delta.partial_json):
            return
        kind = _KIND_OF_DELTA.get(delta.type)
        block = self._block_of(event.index, kind, events) if kind is not None else None
        if block is None:
            return
        if kind == "tool":
            if delta.partial_json:
                self._input(block, delta.partial_json, events)
        elif kind == "reasoning":
            block.signature += delta.signature or ""
            if delta.thinking:
                events.append(ReasoningDelta(block.index, delta.thinking))
        elif delta.text:
            events.append(TextDelta(block.index, delta.text))
        elif delta.citation is not None and delta.citation.url:
            cited = delta.citation
            citation = Citation(cited.url or "", cited.title or "", cited.cited_text or "")
            events.append(CitationDelta(block.index, citation))

    def _block_of(self, wire_index: int, kind: BlockKind, events: list[Event]) -> _Block | None:
        """The block that deltas of `kind` belong to. Text and reasoning of no block, or of one of
        another kind, open their own; None: nothing to keep."""
        block = self._blocks.get(wire_index)
        if block is not None and block.kind == kind:
            return block
        if kind == "tool" or (block is None and wire_index in self._blocks):
            return None
        self._close_all(events)
        return self._open(wire_index, kind, events)

    def _input(self, block: _Block, text: str, events: list[Event]) -> None:
        block.whole_input = ""
        if block.custom:
            block.held.append(text)
        else:
            events.append(ToolInputDelta(block.index, text))

    def _block_stop(self, event: wire.SentEvent, events: list[Event]) -> None:
        block = self._blocks.pop(event.index, None)
        if block is not None:
            self._close(block, events)

    def _close(self, block: _Block, events: list[Event]) -> None:
        if block.whole_input:
            self._input(block, block.whole_input, events)
        if block.held:
            text = arguments.unwrapped("".join(block.held))
            events.append(ToolInputDelta(block.index, text))
        if block.signature:
            opaque = self._opaque("sig", block.signature)
            events.append(ReasoningSignature(block.index, opaque))
        events.append(BlockEnd(block.index))

    def _close_all(self, events: list[Event]) -> None:
        """What a server forgot to stop."""
        for block in self._blocks.values():
            if block is not None:
                self._close(block, events)
        self._blocks.clear()

    def _message_delta(self, event: wire.SentEvent, events: list[Event]) -> None:
        if event.delta is not None and event.delta.stop_reason:
            self._stop_reason = event.delta.stop_reason
            self._stop_sequence = event.delta.stop_sequence
        self._count(event.usage)

    def _message_stop(self, event: wire.SentEvent, events: list[Event]) -> None:
        self._end(events, is_complete=True)

    def _opaque(self, kind: OpaqueKind, data: str) -> Opaque:
        return Opaque(kind, data, self._crossing.provider, self._crossing.model)

    _READ: dict[str, Callable[..., None]] = {  # noqa: RUF012 - never changed
        "message_start": _message_start,
        "content_block_start": _block_start,
        "content_block_delta": _block_delta,
        "content_block_stop": _block_stop,
        "message_delta": _message_delta,
        "message_stop": _message_stop,
    }
