"""Canonical events → parts of a Gemini answer, streamed or whole.

Parts are written as text comes. A call waits until it is whole, and until those that began before
it are written. State waits for the next call, which carries it; if none comes, or other state, it
gets a text part of its own without text. Arguments that are no JSON cannot be written: such a call
is left out and the answer ends as a malformed one. Searches, citations and probabilities wait for
the end.

Source: Gemini API reference, "Part"; translation rules §15.4.
"""

from collections.abc import Callable, Sequence

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from plexus_proxy.formats import arguments, envelope, ids
from plexus_proxy.formats.conversation import Crossing
from plexus_proxy.formats.events import (
    BlockEnd,
    BlockStart,
    Citation,
    CitationDelta,
    Event,
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
from plexus_proxy.formats.fold import estimated
from plexus_proxy.formats.gemini.grounding import WrittenGrounding
from plexus_proxy.formats.gemini.likely import WrittenLogprobs, write_logprobs
from plexus_proxy.formats.gemini.reasons import MALFORMED, STOP, write_reason
from plexus_proxy.formats.gemini.usage import WrittenUsage, write_usage

_encode = msgspec.json.Encoder().encode


class _FunctionCall(Struct, frozen=True):
    id: str
    name: str
    args: Raw


class Part(Struct, frozen=True, rename="camel"):
    """As we send it. Texts of a stream are written without it."""

    text: str | UnsetType = UNSET
    thought: bool | UnsetType = UNSET
    function_call: _FunctionCall | UnsetType = UNSET
    thought_signature: str | UnsetType = UNSET

    @property
    def is_plain(self) -> bool:
        """Text that may be joined with text of the same kind."""
        return self.text is not UNSET and self.thought_signature is UNSET


class _Content(Struct, frozen=True):
    role: str
    parts: Sequence[Part]


class _Candidate(Struct, frozen=True, rename="camel"):
    content: _Content
    finish_reason: str
    index: int
    grounding_metadata: WrittenGrounding | UnsetType
    logprobs_result: WrittenLogprobs | UnsetType


class _Answer(Struct, frozen=True, rename="camel"):
    candidates: tuple[_Candidate]
    usage_metadata: WrittenUsage
    model_version: str
    response_id: str


class _Text:
    """Text parts in a row, which clients read as one."""

    __slots__ = ("chars", "part", "pieces")

    def __init__(self, part: int) -> None:
        self.part = part
        """Its number among the parts of the answer."""
        self.pieces: list[str] = []
        self.chars = 0


class _Block:
    """What is to be remembered of an open block."""

    __slots__ = ("citations", "is_whole", "pieces", "start", "text", "text_at")

    def __init__(self, start: BlockStart) -> None:
        self.start = start
        self.pieces: list[str] = []
        """Input of a tool."""
        self.is_whole = False
        """A tool whose input is."""
        self.text: _Text | None = None
        """What the block's text is a piece of, and how many characters of it come before."""
        self.text_at = 0
        self.citations: list[Citation] = []


class PartsWriter:
    """Writes every part between `head` and `tail`."""

    __slots__ = (
        "_blocks",
        "_crossing",
        "_grounding",
        "_head",
        "_in_thought",
        "_likely",
        "_malformed",
        "_model",
        "_output_chars",
        "_parts",
        "_state",
        "_tail",
        "_text",
        "_tools",
        "_usage",
    )

    def __init__(self, crossing: Crossing, *, head: bytes = b"", tail: bytes = b"") -> None:
        self._crossing = crossing
        self._head = head
        self._tail = tail
        self._model = crossing.model
        self._blocks: dict[int, _Block] = {}
        self._tools: dict[int, _Block] = {}
        """Calls that are not written yet."""
        self._state: Opaque | None = None
        """Waits for the part it goes with."""
        self._parts = 0
        self._text: _Text | None = None
        """The last part, if it is one."""
        self._in_thought = False
        """The last part is a thought."""
        self._grounding = WrittenGrounding()
        self._likely: list[TokenLogprob] = []
        self._malformed = False
        """A call has been left out."""
        self._output_chars = 0
        self._usage: Usage | None = None

    def feed(self, event: Event) -> bytes:
        return self._WRITE[type(event)](self, event)

    def _start(self, event: Start) -> bytes:
        self._usage = event.usage
        self._model = event.model or self._model
        return b""

    def _block_start(self, event: BlockStart) -> bytes:
        block = self._blocks[event.index] = _Block(event)
        if event.kind == "tool":
            self._tools[event.index] = block
        return self._state_part() if event.kind == "reasoning" else b""

    def _text_delta(self, event: TextDelta) -> bytes:
        text = event.text
        if not text:
            return b""
        run = self._text
        if run is None:
            run = self._text = _Text(self._parts)
            self._parts += 1
            self._in_thought = False
        block = self._blocks[event.index]
        if block.text is not run:
            block.text = run
            block.text_at = run.chars
        run.pieces.append(text)
        run.chars += len(text)
        self._output_chars += len(text)
        return b'%b{"text":%b}%b' % (self._head, _encode(text), self._tail)

    def _reasoning(self, event: ReasoningDelta) -> bytes:
        self._output_chars += len(event.text)
        if not event.text or not self._crossing.show_reasoning:
            return b""
        if not self._in_thought:
            self._in_thought = True
            self._text = None
            self._parts += 1
        text = _encode(event.text)
        return b'%b{"text":%b,"thought":true}%b' % (self._head, text, self._tail)

    def _signature(self, event: ReasoningSignature) -> bytes:
        before = self._state_part()
        self._state = event.opaque
        return before

    def _state_part(self) -> bytes:
        """The state that waits, without a call to go with."""
        return b"" if self._state is None else self._part(Part("", thought_signature=self._carry()))

    def _carry(self) -> str | UnsetType:
        """The state that waits, for the part being written."""
        state = self._state
        self._state = None
        return UNSET if state is None else envelope.pack_base64(state)

    def _part(self, part: Part) -> bytes:
        self._parts += 1
        self._text = None
        self._in_thought = False
        return b"%b%b%b" % (self._head, _encode(part), self._tail)

    def _input(self, event: ToolInputDelta) -> bytes:
        self._output_chars += len(event.text)
        self._blocks[event.index].pieces.append(event.text)
        return b""

    def _citation(self, event: CitationDelta) -> bytes:
        self._blocks[event.index].citations.append(event.citation)
        return b""

    def _searched(self, event: Searched) -> bytes:
        self._grounding.searched(event.search)
        return b""

    def _logprobs(self, event: Logprobs) -> bytes:
        self._likely += event.tokens
        return b""

    def _block_end(self, event: BlockEnd) -> bytes:
        block = self._blocks.pop(event.index)
        if block.start.kind == "tool":
            block.is_whole = True
            return self._calls()
        if block.citations and block.text is not None:
            run = block.text
            text = "".join(run.pieces)
            for each in block.citations:
                self._grounding.cite(each, text, block.text_at, run.part)
        return b""

    def _calls(self) -> bytes:
        """Those that are whole and next in order."""
        out: list[bytes] = []
        while self._tools:
            index, block = next(iter(self._tools.items()))
            if not block.is_whole:
                break
            del self._tools[index]
            out.append(self._call(block))
        return b"".join(out)

    def _call(self, block: _Block) -> bytes:
        start = block.start
        text = "".join(block.pieces)
        args = arguments.wrapped(text) if start.custom else arguments.object_of(text)
        if args is None:
            self._malformed = True
            return b""
        call = _FunctionCall(
            start.tool_id or ids.tool_id(self._crossing, start.index),
            start.tool_name,
            Raw(arguments.as_text(args).encode()),  # a line break would end the record
        )
        return self._part(Part(function_call=call, thought_signature=self._carry()))

    def _usage_update(self, event: UsageUpdate) -> bytes:
        self._usage = event.usage
        return b""

    def answer(self, event: Finish, parts: Sequence[Part] = ()) -> bytes:
        """The end of the answer, with `parts` and what has been waiting, as JSON."""
        state = self._carry()
        if state is not UNSET or not parts:
            parts = [*parts, Part("", thought_signature=state)]
        reason = write_reason(event.reason)
        if reason == STOP and self._malformed:
            reason = MALFORMED
        usage = self._usage or estimated(self._output_chars, self._crossing)
        grounding = UNSET if self._grounding.is_empty else self._grounding
        likely = write_logprobs(self._likely) if self._likely else UNSET
        candidate = _Candidate(_Content("model", parts), reason, 0, grounding, likely)
        return _encode(
            _Answer((candidate,), write_usage(usage), self._model, self._crossing.response_id)
        )

    _WRITE: dict[type[Event], Callable[..., bytes]] = {  # noqa: RUF012 - never changed
        Start: _start,
        BlockStart: _block_start,
        TextDelta: _text_delta,
        ReasoningDelta: _reasoning,
        ReasoningSignature: _signature,
        ToolInputDelta: _input,
        CitationDelta: _citation,
        Searched: _searched,
        Logprobs: _logprobs,
        BlockEnd: _block_end,
        UsageUpdate: _usage_update,
    }
