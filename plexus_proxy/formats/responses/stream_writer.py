"""Canonical events → Responses stream.

Every event carries the next sequence number. An output item is a reasoning item, a call, a
search, or a message, whose parts are neighbouring text blocks; calls may be open side by side, they
differ by output_index. An item appears with its first content, so that empty blocks leave no trace.
Citations wait for the end of their text. The terminal event repeats the whole response, with usage.

Source: OpenAI API reference, "Streaming events"; translation rules §15.3.
"""

from collections.abc import Callable, Sequence

import msgspec
from msgspec import Struct

from plexus_proxy.formats import ids
from plexus_proxy.formats.conversation import Crossing
from plexus_proxy.formats.events import (
    BlockEnd,
    BlockStart,
    Citation,
    CitationDelta,
    Event,
    Failure,
    Finish,
    Logprobs,
    Opaque,
    ReasoningDelta,
    ReasoningSignature,
    Searched,
    Start,
    TextDelta,
    TokenLogprob,
    ToolInputDelta,
    Usage,
    UsageUpdate,
)
from plexus_proxy.formats.fold import Block, estimated, final_reason
from plexus_proxy.formats.logprobs import write_tokens
from plexus_proxy.formats.responses.errors import response_error
from plexus_proxy.formats.responses.reasons import write_end
from plexus_proxy.formats.responses.response import (
    WrittenCall,
    WrittenCustomCall,
    WrittenItem,
    WrittenMessage,
    WrittenReasoning,
    WrittenRefusal,
    WrittenSummary,
    WrittenText,
    response_object,
    write_annotations,
    write_call,
    write_reasoning,
)
from plexus_proxy.formats.responses.searches import begun, write_search
from plexus_proxy.formats.responses.usage import write_usage

KEEPALIVE = b": keep-alive\n\n"

_encode = msgspec.json.Encoder().encode


class _Message:
    """The open message item."""

    __slots__ = ("id", "number", "parts")

    def __init__(self, item_id: str, number: int) -> None:
        self.id = item_id
        self.number = number
        self.parts: list[WrittenText | WrittenRefusal] = []


class _Open:
    """An open block and what has been told of it."""

    __slots__ = (
        "citations",
        "head",
        "likely",
        "number",
        "opaque",
        "part",
        "start",
        "texts",
        "told",
    )

    def __init__(self, start: BlockStart) -> None:
        self.start = start
        self.number = -1
        """output_index of its item; -1 while that has not appeared."""
        self.part = 0
        """content_index of a text."""
        self.head = b""
        """A delta event up to the delta."""
        self.texts: list[str] = []
        self.citations: list[Citation] = []
        self.likely: list[TokenLogprob] = []
        self.told = 0
        """How many of them deltas have told."""
        self.opaque: Opaque | None = None

    @property
    def text(self) -> str:
        return "".join(self.texts)


class _ItemEvent(Struct, frozen=True):
    type: str
    output_index: int
    item: WrittenItem
    sequence_number: int


class ResponsesWriter:
    """See Writer."""

    __slots__ = (
        "_blocks",
        "_calls",
        "_crossing",
        "_ending",
        "_items",
        "_message",
        "_model",
        "_output_chars",
        "_sequence",
        "_usage",
    )

    def __init__(self, crossing: Crossing) -> None:
        self._crossing = crossing
        self._model = crossing.model
        self._sequence = 0
        self._blocks: dict[int, _Open] = {}
        self._items: list[WrittenItem | None] = []
        """By output_index; None: not done yet."""
        self._message: _Message | None = None
        self._ending: _Open | None = None
        """A call that is over, but may yet prove to have been cut by the token limit."""
        self._calls = 0
        self._output_chars = 0
        self._usage: Usage | None = None

    def feed(self, event: Event) -> bytes:
        if self._ending is None or type(event) in _UNDECIDED:
            return self._WRITE[type(event)](self, event)
        return self._end_call("completed") + self._WRITE[type(event)](self, event)

    def _event(self, kind: bytes, fields: bytes) -> bytes:
        number = self._sequence
        self._sequence = number + 1
        return b'event: %b\ndata: {"type":"%b",%b,"sequence_number":%d}\n\n' % (
            kind,
            kind,
            fields,
            number,
        )

    def _start(self, event: Start) -> bytes:
        self._usage = event.usage
        self._model = event.model or self._crossing.model
        response = b'"response":%b' % _encode(
            response_object(self._crossing, self._model, "in_progress")
        )
        return self._event(b"response.created", response) + self._event(
            b"response.in_progress", response
        )

    def _item_event(self, kind: str, number: int, item: WrittenItem) -> bytes:
        data = _encode(_ItemEvent(kind, number, item, self._sequence))
        self._sequence += 1
        return b"event: %b\ndata: %b\n\n" % (kind.encode(), data)

    def _added(self, item: WrittenItem) -> bytes:
        """A new item, as empty as it is now."""
        number = len(self._items)
        self._items.append(None)
        return self._item_event("response.output_item.added", number, item)

    def _done(self, number: int, item: WrittenItem) -> bytes:
        self._items[number] = item
        return self._item_event("response.output_item.done", number, item)

    def _block_start(self, event: BlockStart) -> bytes:
        block = self._blocks[event.index] = _Open(event)
        if event.kind != "tool":
            return b""
        self._calls += 1
        closing = self._end_message("completed")
        number = block.number = len(self._items)
        item = write_call(_as_block(block), self._crossing, number, "in_progress")
        if isinstance(item, WrittenCall):
            item = msgspec.structs.replace(item, arguments="")
        block.head = b'"item_id":%b,"output_index":%d,"delta":' % (_encode(item.id), number)
        return closing + self._added(item)

    def _text(self, event: TextDelta) -> bytes:
        if not event.text:
            return b""
        block = self._blocks[event.index]
        block.texts.append(event.text)
        self._output_chars += len(event.text)
        opening = b"" if block.number >= 0 else self._open_part(block)
        if block.start.kind == "refusal":
            return opening + self._event(
                b"response.refusal.delta", b"%b%b" % (block.head, _encode(event.text))
            )
        tokens = _next_tokens(block) if block.likely else _NO_TOKENS
        return opening + self._event(
            b"response.output_text.delta",
            b'%b%b,"logprobs":%b' % (block.head, _encode(event.text), tokens),
        )

    def _open_part(self, block: _Open) -> bytes:
        message, opening = self._message, b""
        if message is None:
            number = len(self._items)
            message = _Message(ids.item_id(self._crossing, "msg", number), number)
            self._message = message
            opening = self._added(WrittenMessage(message.id, "in_progress", []))
        block.number, block.part = message.number, len(message.parts)
        place = b'"item_id":%b,"output_index":%d,"content_index":%d,' % (
            _encode(message.id),
            message.number,
            block.part,
        )
        block.head = place + b'"delta":'
        refusal = block.start.kind == "refusal"
        part = WrittenRefusal("") if refusal else WrittenText("")
        message.parts.append(part)
        return opening + self._event(
            b"response.content_part.added", b'%b"part":%b' % (place, _encode(part))
        )

    def _reasoning(self, event: ReasoningDelta) -> bytes:
        if not event.text:
            return b""
        block = self._blocks[event.index]
        block.texts.append(event.text)
        self._output_chars += len(event.text)
        if not self._crossing.show_reasoning:
            return b""
        opening = b"" if block.head else self._open_summary(block)
        return opening + self._event(
            b"response.reasoning_summary_text.delta", b"%b%b" % (block.head, _encode(event.text))
        )

    def _open_reasoning(self, block: _Open) -> bytes:
        closing = self._end_message("completed")
        number = block.number = len(self._items)
        item = WrittenReasoning(ids.item_id(self._crossing, "rs", number), [])
        return closing + self._added(item)

    def _open_summary(self, block: _Open) -> bytes:
        opening = self._open_reasoning(block) if block.number < 0 else b""
        place = self._summary_place(block)
        block.head = place + b'"delta":'
        part = _encode(WrittenSummary(""))
        return opening + self._event(
            b"response.reasoning_summary_part.added", b'%b"part":%b' % (place, part)
        )

    def _summary_place(self, block: _Open) -> bytes:
        return b'"item_id":%b,"output_index":%d,"summary_index":0,' % (
            _encode(ids.item_id(self._crossing, "rs", block.number)),
            block.number,
        )

    def _signature(self, event: ReasoningSignature) -> bytes:
        block = self._blocks[event.index]
        block.opaque = event.opaque
        return b"" if block.number >= 0 else self._open_reasoning(block)

    def _input(self, event: ToolInputDelta) -> bytes:
        if not event.text:
            return b""
        block = self._blocks[event.index]
        block.texts.append(event.text)
        self._output_chars += len(event.text)
        kind = _INPUT if block.start.custom else _ARGUMENTS
        return self._event(kind, b"%b%b" % (block.head, _encode(event.text)))

    def _citation(self, event: CitationDelta) -> bytes:
        self._blocks[event.index].citations.append(event.citation)
        return b""

    def _searched(self, event: Searched) -> bytes:
        closing = self._end_message("completed")
        number = len(self._items)
        item = write_search(event.search, self._crossing, number)
        place = b'"output_index":%d,"item_id":%b' % (number, _encode(item.id))
        steps = [b"in_progress", b"searching"] + ([] if event.search.error else [b"completed"])
        return b"".join(
            (
                closing,
                self._added(begun(item)),
                *(self._event(b"response.web_search_call.%b" % step, place) for step in steps),
                self._done(number, item),
            )
        )

    def _logprobs(self, event: Logprobs) -> bytes:
        self._blocks[event.index].likely += event.tokens
        return b""

    def _block_end(self, event: BlockEnd) -> bytes:
        block = self._blocks.pop(event.index)
        if block.number < 0:
            return b""
        match block.start.kind:
            case "reasoning":
                return self._end_reasoning(block)
            case "tool":
                self._ending = block
                return b""
            case _:
                return self._end_part(block)

    def _end_part(self, block: _Open) -> bytes:
        message = self._message
        assert message is not None  # a message stays open at least as long as its parts
        text, place = block.text, block.head.removesuffix(b'"delta":')
        if block.start.kind == "refusal":
            part: WrittenText | WrittenRefusal = WrittenRefusal(text)
            done = self._event(b"response.refusal.done", b'%b"refusal":%b' % (place, _encode(text)))
        else:
            annotations = write_annotations(block.citations, len(text))
            part = WrittenText(text, annotations, write_tokens(block.likely))
            told = [
                self._event(
                    b"response.output_text.annotation.added",
                    b'%b"annotation_index":%d,"annotation":%b' % (place, index, _encode(each)),
                )
                for index, each in enumerate(annotations)
            ]
            done = b"".join(told) + self._event(
                b"response.output_text.done",
                b'%b"text":%b,"logprobs":%b' % (place, _encode(text), _encode(part.logprobs)),
            )
        message.parts[block.part] = part
        return done + self._event(
            b"response.content_part.done", b'%b"part":%b' % (place, _encode(part))
        )

    def _end_message(self, status: str) -> bytes:
        """The message that parts have been added to, if all have ended; the next text begins a
        new one."""
        message = self._message
        if message is None or any(
            block.number == message.number for block in self._blocks.values()
        ):
            return b""
        self._message = None
        return self._done(message.number, WrittenMessage(message.id, status, message.parts))

    def _end_reasoning(self, block: _Open) -> bytes:
        item = write_reasoning(_as_block(block), self._crossing, block.number)
        closing = b""
        if item.summary:
            place = self._summary_place(block)
            text = item.summary[0].text
            closing = self._event(
                b"response.reasoning_summary_text.done", b'%b"text":%b' % (place, _encode(text))
            ) + self._event(
                b"response.reasoning_summary_part.done",
                b'%b"part":%b' % (place, _encode(item.summary[0])),
            )
        return closing + self._done(block.number, item)

    def _end_call(self, status: str) -> bytes:
        block, self._ending = self._ending, None
        if block is None:
            return b""
        item = write_call(_as_block(block), self._crossing, block.number, status)
        place = block.head.removesuffix(b'"delta":')
        if isinstance(item, WrittenCustomCall):
            closing = self._event(
                b"response.custom_tool_call_input.done",
                b'%b"input":%b' % (place, _encode(item.input)),
            )
        else:
            closing = b""
            if not block.texts:  # a call without arguments has said nothing yet
                closing = self._event(_ARGUMENTS, b'%b"{}"' % block.head)
            closing += self._event(
                b"response.function_call_arguments.done",
                b'%b"arguments":%b' % (place, _encode(item.arguments)),
            )
        return closing + self._done(block.number, item)

    def _usage_update(self, event: UsageUpdate) -> bytes:
        self._usage = event.usage
        return b""

    def _finish(self, event: Finish) -> bytes:
        end = write_end(final_reason(event.reason, self._calls > 0))
        usage = self._usage or estimated(self._output_chars, self._crossing)
        closing = self._end_call(end.status) + self._end_message(end.status)
        response = response_object(
            self._crossing,
            self._model,
            end.status,
            self._output(),
            incomplete=end.incomplete,
            usage=write_usage(usage),
        )
        kind = b"response.%b" % end.status.encode()
        return closing + self._event(kind, b'"response":%b' % _encode(response))

    def _output(self) -> Sequence[WrittenItem]:
        return [item for item in self._items if item is not None]

    def _failure(self, event: Failure) -> bytes:
        """Open items stay open; the response tells what had been completed."""
        response = response_object(
            self._crossing,
            self._model,
            "failed",
            self._output(),
            error=response_error(event.error),
        )
        return self._event(b"response.failed", b'"response":%b' % _encode(response))

    _WRITE: dict[type[Event], Callable[..., bytes]] = {  # noqa: RUF012 - never changed
        Start: _start,
        BlockStart: _block_start,
        TextDelta: _text,
        ReasoningDelta: _reasoning,
        ReasoningSignature: _signature,
        ToolInputDelta: _input,
        CitationDelta: _citation,
        Searched: _searched,
        Logprobs: _logprobs,
        BlockEnd: _block_end,
        UsageUpdate: _usage_update,
        Finish: _finish,
        Failure: _failure,
    }


_NO_TOKENS = b"[]"
_UNDECIDED = frozenset((UsageUpdate, Finish))
_ARGUMENTS = b"response.function_call_arguments.delta"
_INPUT = b"response.custom_tool_call_input.delta"


def _next_tokens(block: _Open) -> bytes:
    """The tokens that no delta has told yet."""
    tokens, block.told = block.likely[block.told :], len(block.likely)
    return _encode(write_tokens(tokens))


def _as_block(block: _Open) -> Block:
    start = block.start
    return Block(
        kind=start.kind,
        text=block.text,
        opaque=block.opaque,
        tool_id=start.tool_id,
        tool_name=start.tool_name,
        custom=start.custom,
    )
