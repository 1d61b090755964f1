"""Canonical events → Chat Completions stream.

The wire has no blocks: each delta is a chunk of its own kind at once, only citations wait for the
end, to be told in one chunk: official clients cannot join those of several. Tool calls count from 0
in the order they begin, with id and name in the first chunk only. Finish brings the finish chunk,
the usage chunk for clients that asked for it, and [DONE].

Source: OpenAI API reference, "The chat completion chunk object"; translation rules §15.2.
"""

from collections.abc import Callable

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from plexus_proxy.errors import PlexusError
from plexus_proxy.formats import ids
from plexus_proxy.formats.chat.errors import error_body
from plexus_proxy.formats.chat.reasoning import write_call_state, write_detail
from plexus_proxy.formats.chat.reasons import write_reason
from plexus_proxy.formats.chat.response import write_annotation, write_logprobs
from plexus_proxy.formats.chat.usage import write_usage
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
from plexus_proxy.formats.fold import estimated, final_reason

DONE = b"data: [DONE]\n\n"
KEEPALIVE = b": keep-alive\n\n"

_encode = msgspec.json.Encoder().encode
_ROLE = b'{"role":"assistant","content":""}'
_NOTHING = b"{}"


class _Identity(Struct, frozen=True):
    """What all chunks of a stream begin with."""

    id: str
    object: str
    created: int
    model: str


_IDENTITY = msgspec.json.Decoder(_Identity)


class _Function(Struct, frozen=True):
    name: str | UnsetType = UNSET
    arguments: str = ""


class _Custom(Struct, frozen=True):
    name: str | UnsetType = UNSET
    input: str = ""


class _Call(Struct, frozen=True, omit_defaults=True):
    index: int
    id: str | None = None
    type: str | None = None
    function: _Function | None = None
    custom: _Custom | None = None
    extra_content: Raw | UnsetType = UNSET


class _Calls(Struct, frozen=True):
    tool_calls: list[_Call]


class _FunctionCall(Struct, frozen=True):
    function_call: _Function


class _Delta(Struct, frozen=True, omit_defaults=True):
    """Any of the fields that exist beside content and tool calls."""

    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning_details: list[Raw] | None = None
    annotations: list[Raw] | None = None


class _Block:
    """What is to be remembered of an open block."""

    __slots__ = ("call", "chars_before", "citations", "custom", "has_input", "kind", "texts")

    def __init__(self, start: BlockStart, chars_before: int, call: int) -> None:
        self.kind = start.kind
        self.custom = start.custom
        self.call = call
        """Of a tool block: its number among the calls."""
        self.chars_before = chars_before
        self.has_input = False
        self.texts: list[str] = []
        """Of reasoning: to be repeated beside the state that signs it."""
        self.citations: list[Citation] = []


class ChatWriter:
    """See Writer."""

    __slots__ = (
        "_annotations",
        "_blocks",
        "_call_state",
        "_calls",
        "_chars",
        "_crossing",
        "_head",
        "_identity",
        "_likely",
        "_output_chars",
        "_reasonings",
        "_tail",
        "_usage",
    )

    def __init__(self, crossing: Crossing) -> None:
        self._crossing = crossing
        self._identity = self._head = self._tail = b""
        self._blocks: dict[int, _Block] = {}
        self._annotations: list[Raw] = []
        self._calls = 0
        self._call_state: Raw | UnsetType = UNSET
        """The extra_content of the next call."""
        self._likely: tuple[TokenLogprob, ...] = ()
        """Of the tokens of the text that comes next."""
        self._reasonings = 0
        self._chars = 0
        """Characters of text so far."""
        self._output_chars = 0
        self._usage: Usage | None = None

    def feed(self, event: Event) -> bytes:
        return self._WRITE[type(event)](self, event)

    def _chunk_of_tokens(self, delta: bytes) -> bytes:
        """A chunk that tells how likely the tokens were of which it has been told."""
        likely, self._likely = self._likely, ()
        return b'%b%b,"logprobs":%b,"finish_reason":null}]%b' % (
            self._head,
            delta,
            bytes(write_logprobs(likely)),
            self._tail,
        )

    def _chunk(self, delta: bytes, finish_reason: bytes = b"null") -> bytes:
        return b'%b%b,"logprobs":null,"finish_reason":%b}]%b' % (
            self._head,
            delta,
            finish_reason,
            self._tail,
        )

    def _start(self, event: Start) -> bytes:
        crossing = self._crossing
        self._usage = event.usage
        self._identity = _opening(_identity(crossing, event.model or crossing.model))
        self._head = b'%b"choices":[{"index":0,"delta":' % self._identity
        self._tail = b',"usage":null}\n\n' if crossing.include_usage else b"}\n\n"
        return self._chunk(_ROLE)

    def _block_start(self, event: BlockStart) -> bytes:
        block = _Block(event, self._chars, self._calls)
        self._blocks[event.index] = block
        if event.kind != "tool":
            return b""
        self._calls += 1
        if self._crossing.legacy_functions:
            if block.call:
                return b""  # there is one function_call only
            return self._chunk(_encode(_FunctionCall(_Function(event.tool_name))))
        tool_id = event.tool_id or ids.tool_id(self._crossing, event.index)
        extra, self._call_state = self._call_state, UNSET
        if event.custom:
            custom = _Custom(event.tool_name)
            call = _Call(block.call, tool_id, "custom", custom=custom, extra_content=extra)
        else:
            function = _Function(event.tool_name)
            call = _Call(block.call, tool_id, "function", function, extra_content=extra)
        return self._chunk(_encode(_Calls([call])))

    def _text(self, event: TextDelta) -> bytes:
        text = event.text
        self._output_chars += len(text)
        if self._blocks[event.index].kind == "refusal":
            return self._chunk(_encode(_Delta(refusal=text)))
        self._chars += len(text)
        if self._likely:
            return self._chunk_of_tokens(b'{"content":%b}' % _encode(text))
        return b'%b{"content":%b},"logprobs":null,"finish_reason":null}]%b' % (
            self._head,
            _encode(text),
            self._tail,
        )

    def _logprobs(self, event: Logprobs) -> bytes:
        self._likely += event.tokens
        return b""

    def _reasoning(self, event: ReasoningDelta) -> bytes:
        self._output_chars += len(event.text)
        if not self._crossing.show_reasoning:
            return b""
        self._blocks[event.index].texts.append(event.text)
        return self._chunk(_encode(_Delta(reasoning_content=event.text)))

    def _signature(self, event: ReasoningSignature) -> bytes:
        self._call_state = write_call_state(event.opaque)
        if not self._crossing.show_reasoning:
            return b""
        block = self._blocks[event.index]
        text = "".join(block.texts)
        detail = write_detail(self._reasonings, text, event.opaque, block.chars_before)
        return self._chunk(_encode(_Delta(reasoning_details=[Raw(_encode(detail))])))

    def _input(self, event: ToolInputDelta) -> bytes:
        self._output_chars += len(event.text)
        block = self._blocks[event.index]
        if not event.text:
            return b""
        block.has_input = True
        return self._arguments(block, event.text)

    def _arguments(self, block: _Block, text: str) -> bytes:
        if self._crossing.legacy_functions:
            if block.call:
                return b""
            return self._chunk(_encode(_FunctionCall(_Function(arguments=text))))
        if block.custom:
            call = _Call(block.call, custom=_Custom(input=text))
        else:
            call = _Call(block.call, function=_Function(arguments=text))
        return self._chunk(_encode(_Calls([call])))

    def _citation(self, event: CitationDelta) -> bytes:
        self._blocks[event.index].citations.append(event.citation)
        return b""

    def _searched(self, event: Searched) -> bytes:
        """The format tells of searches by what is cited only."""
        return b""

    def _block_end(self, event: BlockEnd) -> bytes:
        block = self._blocks[event.index]
        if block.kind == "tool":
            is_empty = not block.has_input and not block.custom
            return self._arguments(block, "{}") if is_empty else b""
        if block.kind == "reasoning":
            self._reasonings += 1
        for each in block.citations:
            written = write_annotation(each, block.chars_before, self._chars)
            self._annotations.append(Raw(_encode(written)))
        return self._chunk_of_tokens(_NOTHING) if self._likely and block.kind == "text" else b""

    def _usage_update(self, event: UsageUpdate) -> bytes:
        self._usage = event.usage
        return b""

    def _finish(self, event: Finish) -> bytes:
        reason: str = write_reason(final_reason(event.reason, bool(self._calls)))
        if reason == "tool_calls" and self._crossing.legacy_functions:
            reason = "function_call"
        finish = self._chunk(_NOTHING, _encode(reason))
        if self._annotations:
            finish = self._chunk(_encode(_Delta(annotations=self._annotations))) + finish
        if not self._crossing.include_usage:
            return finish + DONE
        usage = self._usage or estimated(self._output_chars, self._crossing)
        return finish + _usage_chunk(self._identity, usage) + DONE

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
        Logprobs: _logprobs,
        BlockEnd: _block_end,
        UsageUpdate: _usage_update,
        Finish: _finish,
        Failure: _failure,
    }


def _identity(crossing: Crossing, model: str) -> _Identity:
    return _Identity(
        ids.completion_id(crossing), "chat.completion.chunk", crossing.created_s, model
    )


def _opening(identity: _Identity) -> bytes:
    """The start of every chunk."""
    return b"data: %b," % _encode(identity)[:-1]


def _usage_chunk(identity: bytes, usage: Usage) -> bytes:
    return b'%b"choices":[],"usage":%b}\n\n' % (identity, _encode(write_usage(usage)))


def estimated_usage(last: bytes, output_chars: int, crossing: Crossing) -> bytes:
    """See Format.estimated_usage."""
    try:
        identity = _IDENTITY.decode(last)
    except (msgspec.DecodeError, UnicodeDecodeError):
        identity = _identity(crossing, crossing.model)
    return _usage_chunk(_opening(identity), estimated(output_chars, crossing))


def stream_error(error: PlexusError, _last: bytes = b"") -> bytes:
    """See Format.stream_error. Without [DONE]: the answer is not complete."""
    return b"data: %b\n\n" % _encode(error_body(error))
