"""Canonical events → Messages stream.

Exactly one block is open on the wire at a time, with indices 0, 1, 2, …: events of a block that
begins while another is open wait until that one has ended. A text block opens with its first text,
a reasoning block with its first text or its state, so that empty ones leave no trace. Text that
goes on after a citation does so in a new block, since citations are of whole blocks. A search is
two blocks on the wire. Finish brings an empty text block if there was none at all, message_delta
with the usage, and message_stop.

Source: Anthropic API reference, "Streaming Messages"; translation rules §15.1.
"""

from collections.abc import Callable

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from plexus_proxy.errors import PlexusError
from plexus_proxy.formats import envelope, ids
from plexus_proxy.formats.conversation import Crossing
from plexus_proxy.formats.events import (
    BlockEnd,
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
    Usage,
    UsageUpdate,
)
from plexus_proxy.formats.fold import estimated, final_reason
from plexus_proxy.formats.messages.errors import error_body
from plexus_proxy.formats.messages.reasons import write_reason
from plexus_proxy.formats.messages.response import write_citation
from plexus_proxy.formats.messages.searches import ToolResult, ToolUse, Trace, write_search
from plexus_proxy.formats.messages.usage import WrittenUsage, write_usage

STOP = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
PING = b'event: ping\ndata: {"type": "ping"}\n\n'

_encode = msgspec.json.Encoder().encode
_TEXT = b'{"type":"text","text":""}'
_THINKING = b'{"type":"thinking","thinking":"","signature":""}'


class _Message(Struct, frozen=True):
    id: str
    type: str
    role: str
    model: str
    content: list[str]
    stop_reason: None
    stop_sequence: None
    usage: WrittenUsage


class _MessageStart(Struct, frozen=True, tag="message_start"):
    message: _Message


class _ToolUse(Struct, frozen=True, tag="tool_use"):
    id: str
    name: str
    input: dict[str, str] = {}


class _RedactedThinking(Struct, frozen=True, tag="redacted_thinking"):
    data: str


class _StopDelta(Struct, frozen=True):
    stop_reason: str
    stop_sequence: str | None


class _MessageDelta(Struct, frozen=True, tag="message_delta"):
    delta: _StopDelta
    usage: WrittenUsage


class MessagesWriter:
    """See Writer."""

    __slots__ = (
        "_calls",
        "_cited",
        "_crossing",
        "_current",
        "_delta_head",
        "_next",
        "_on_wire",
        "_output_chars",
        "_trace",
        "_usage",
        "_waiting",
    )

    def __init__(self, crossing: Crossing) -> None:
        self._crossing = crossing
        self._current: BlockStart | None = None
        """The block whose events are written; others wait."""
        self._on_wire = False
        """Its content_block_start has been written, its content_block_stop not."""
        self._cited = False
        """The text block on the wire has a citation."""
        self._trace = Trace(crossing)
        self._waiting: dict[int, list[Event]] = {}
        self._next = 0
        self._delta_head = b""
        self._calls = 0
        self._output_chars = 0
        self._usage: Usage | None = None

    def feed(self, event: Event) -> bytes:
        return self._WRITE[type(event)](self, event)

    def _start(self, event: Start) -> bytes:
        crossing = self._crossing
        self._usage = event.usage
        usage = event.usage or Usage(input_tokens=max(1, crossing.estimated_input_tokens))
        message = _Message(
            ids.message_id(crossing),
            "message",
            "assistant",
            event.model or crossing.model,
            [],
            None,
            None,
            write_usage(usage),
        )
        return _event(b"message_start", _encode(_MessageStart(message))) + PING

    def _block_start(self, event: BlockStart) -> bytes:
        if self._current is not None:
            self._waiting[event.index] = [event]
            return b""
        self._current = event
        if event.kind != "tool":
            return b""
        self._calls += 1
        tool_id = event.tool_id or ids.tool_id(self._crossing, event.index)
        return self._open(_encode(_ToolUse(tool_id, event.tool_name)), b"input_json_delta")

    def _open(self, block: bytes, delta_type: bytes) -> bytes:
        index = self._next
        self._next += 1
        self._on_wire = True
        self._cited = False
        self._delta_head = (
            b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,'
            b'"delta":{"type":"%b",' % (index, delta_type)
        )
        return (
            b'event: content_block_start\ndata: {"type":"content_block_start","index":%d,'
            b'"content_block":%b}\n\n' % (index, block)
        )

    def _stop(self) -> bytes:
        if not self._on_wire:
            return b""
        self._on_wire = False
        return b'event: content_block_stop\ndata: {"type":"content_block_stop","index":%d}\n\n' % (
            self._next - 1
        )

    def _waits(self, index: int, event: Event) -> bool:
        """Whether `event` is kept for later because its block is not the current one."""
        current = self._current
        if current is not None and current.index == index:
            return False
        self._waiting[index].append(event)
        return True

    def _text(self, event: TextDelta) -> bytes:
        if self._waits(event.index, event) or not event.text:
            return b""
        self._output_chars += len(event.text)
        closing = self._stop() if self._cited and event.text.strip() else b""
        opening = closing if self._on_wire else closing + self._open(_TEXT, b"text_delta")
        return b'%b%b"text":%b}}\n\n' % (opening, self._delta_head, _encode(event.text))

    def _reasoning(self, event: ReasoningDelta) -> bytes:
        if self._waits(event.index, event) or not event.text:
            return b""
        self._output_chars += len(event.text)
        if not self._crossing.show_reasoning:
            return b""
        opening = b"" if self._on_wire else self._open(_THINKING, b"thinking_delta")
        return b'%b%b"thinking":%b}}\n\n' % (opening, self._delta_head, _encode(event.text))

    def _signature(self, event: ReasoningSignature) -> bytes:
        if self._waits(event.index, event):
            return b""
        state = envelope.pack(event.opaque)
        if event.opaque.kind == "redacted" and not self._on_wire:
            return self._open(_encode(_RedactedThinking(state)), b"")
        opening = b"" if self._on_wire else self._open(_THINKING, b"thinking_delta")
        return (
            b'%bevent: content_block_delta\ndata: {"type":"content_block_delta","index":%d,'
            b'"delta":{"type":"signature_delta","signature":%b}}\n\n'
            % (opening, self._next - 1, _encode(state))
        )

    def _input(self, event: ToolInputDelta) -> bytes:
        if self._waits(event.index, event) or not event.text:
            return b""
        self._output_chars += len(event.text)
        return b'%b"partial_json":%b}}\n\n' % (self._delta_head, _encode(event.text))

    def _nothing(self, event: Logprobs) -> bytes:
        """The format cannot tell."""
        return b""

    def _citation(self, event: CitationDelta) -> bytes:
        """A citation of a block that has no text yet has nothing to stand on."""
        if self._waits(event.index, event) or not self._on_wire:
            return b""
        self._cited = True
        self._trace.cited((event.citation,))
        return (
            b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,'
            b'"delta":{"type":"citations_delta","citation":%b}}\n\n'
            % (self._next - 1, _encode(write_citation(event.citation)))
        )

    def _searched(self, event: Searched) -> bytes:
        if self._waits(event.index, event):
            return b""
        self._trace.searched(event.search)
        blocks = write_search(event.search, self._crossing, event.index)
        return b"".join(map(self._whole, blocks))

    def _whole(self, block: ToolUse | ToolResult) -> bytes:
        """A block of a search, from its start to its stop."""
        if isinstance(block, ToolResult):
            return self._open(_encode(block), b"") + self._stop()
        opening = self._open(_encode(replace(block, input={})), b"input_json_delta")
        told = _encode(_encode(block.input).decode())
        return b'%b%b"partial_json":%b}}\n\n%b' % (opening, self._delta_head, told, self._stop())

    def _block_end(self, event: BlockEnd) -> bytes:
        """Ends the current block; the next that waits takes its place with all it has. One that
        has ended meanwhile is written whole, and so on."""
        if self._waits(event.index, event):
            return b""
        out = [self._stop()]
        self._current = None
        while self._current is None and self._waiting:
            *waiting, last = self._waiting.pop(next(iter(self._waiting)))
            out += [self.feed(each) for each in waiting]
            if isinstance(last, BlockEnd):
                out.append(self._stop())
                self._current = None
            else:
                out.append(self.feed(last))
        return b"".join(out)

    def _usage_update(self, event: UsageUpdate) -> bytes:
        self._usage = event.usage
        return b""

    def _finish(self, event: Finish) -> bytes:
        owed = b"".join(map(self._whole, self._trace.owed()))
        nothing = owed if self._next else self._open(_TEXT, b"text_delta") + self._stop()
        reason = final_reason(event.reason, self._calls > 0)
        usage = self._usage or estimated(self._output_chars, self._crossing)
        told = _MessageDelta(
            _StopDelta(write_reason(reason, event.stop_sequence), event.stop_sequence),
            write_usage(usage, self._trace.usage),
        )
        return nothing + _event(b"message_delta", _encode(told)) + STOP

    def _failure(self, event: Failure) -> bytes:
        return stream_error(event.error)

    _WRITE: dict[type[Event], Callable[..., bytes]] = {  # noqa: RUF012 - never changed
        Start: _start,
        BlockStart: _block_start,
        TextDelta: _text,
        ReasoningDelta: _reasoning,
        ReasoningSignature: _signature,
        ToolInputDelta: _input,
        CitationDelta: _citation,
        Searched: _searched,
        Logprobs: _nothing,
        BlockEnd: _block_end,
        UsageUpdate: _usage_update,
        Finish: _finish,
        Failure: _failure,
    }


def stream_error(error: PlexusError, _last: bytes = b"") -> bytes:
    """See Format.stream_error. Without message_stop: the answer is not complete."""
    return _event(b"error", _encode(error_body(error)))


def _event(name: bytes, data: bytes) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (name, data)
