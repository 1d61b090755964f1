"""Gemini stream → canonical events.

The wire has no blocks: a part of another kind than the last one, a call and opaque state end the
open text or thought and begin the next. Calls are whole. State becomes that of the open thought, or
of one without text: before the call that carries it, after the text that does, which is not torn
from what came before. What a chunk says about the end is held until the stream's end, since more
may follow; without any the answer was cut. A search is told at the end too. A whole answer is a
stream of one chunk.

Source: Gemini API reference, "GenerateContentResponse"; translation rules §15.5.
"""

from collections.abc import Sequence
from typing import Literal

import msgspec
from msgspec import UNSET, Raw

from plexus_proxy.errors import Garbled, PlexusError, Refused
from plexus_proxy.formats import arguments, ids
from plexus_proxy.formats.conversation import Crossing
from plexus_proxy.formats.events import (
    BlockEnd,
    BlockStart,
    CitationDelta,
    Event,
    Failure,
    Finish,
    FinishReason,
    Logprobs,
    Opaque,
    ReasoningDelta,
    ReasoningSignature,
    Searched,
    Start,
    TextDelta,
    ToolInputDelta,
    UsageUpdate,
)
from plexus_proxy.formats.fold import final_reason
from plexus_proxy.formats.gemini import answers
from plexus_proxy.formats.gemini.errors import read_error
from plexus_proxy.formats.gemini.grounding import Citations
from plexus_proxy.formats.gemini.likely import read_logprobs
from plexus_proxy.formats.gemini.reasons import UNSPECIFIED, read_reason
from plexus_proxy.formats.gemini.usage import WireUsage, merge_usage, read_usage
from plexus_proxy.formats.sse import Frame

_Plain = Literal["text", "reasoning"]


class GeminiReader:
    """See Reader."""

    __slots__ = (
        "_calls",
        "_citations",
        "_crossing",
        "_done",
        "_finish",
        "_has_output",
        "_next",
        "_open",
        "_open_kind",
        "_parts",
        "_started",
        "_texts",
        "_texts_at",
        "_usage",
        "skipped",
    )

    def __init__(self, crossing: Crossing) -> None:
        self._crossing = crossing
        self._started = False
        self._done = False
        self._next = 0
        self._open: int | None = None
        """Index of the open text or reasoning block."""
        self._open_kind: _Plain = "text"
        self._parts = 0
        """How many parts came so far."""
        self._texts: list[str] = []
        """The parts of the open text block."""
        self._texts_at = 0
        """The number of the first of them."""
        self._citations: Citations | None = None
        self._calls = 0
        self._has_output = False
        self._finish: FinishReason | None = None
        self._usage: WireUsage | None = None
        self.skipped = 0
        """Frames of a shape we do not know."""

    def feed(self, frame: Frame) -> Sequence[Event]:
        if not frame.data or self._done:
            return ()
        try:
            chunk = answers.read_chunk(frame.data)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Garbled("The provider's stream holds an event that is no JSON.") from error
        if chunk is None:
            self.skipped += 1
            return ()
        if chunk.is_error:
            self._done = True
            return (Failure(read_error(200, {}, frame.data, in_stream=True)),)
        return self.read(chunk)

    def read(self, chunk: answers.Chunk) -> list[Event]:
        """The events of one chunk that is no error."""
        events: list[Event] = []
        if not self._started:
            self._started = True
            model = chunk.model_version or self._crossing.model
            events.append(Start(chunk.response_id or "", model))
        if (told := chunk.usage_metadata) is not None:
            self._usage = told if self._usage is None else merge_usage(self._usage, told)
        candidate = answers.first_candidate(chunk)
        if candidate is not None:
            self._candidate(candidate, events)
        elif chunk.block_reason:
            self._finish = "content_filter"
        return events

    def close(self) -> Sequence[Event]:
        if self._done:
            return ()
        self._done = True
        if self._finish is None:
            error = Garbled(
                "The provider's stream ended before the answer was complete.", code="upstream_cut"
            )
            return (Failure(error),)
        events: list[Event] = []
        self._close(events, is_last=True)
        self._search(events)
        if self._usage is not None:
            events.append(UsageUpdate(read_usage(self._usage)))
        events.append(Finish(final_reason(self._finish, self._calls > 0)))
        return events

    def _candidate(self, candidate: answers.Candidate, events: list[Event]) -> None:
        if candidate.grounding_metadata is not UNSET:
            self._citations = self._citations or Citations()
            self._citations.learn(candidate.grounding_metadata)
        content = candidate.content
        if content is not None and content.parts:
            for part in content.parts:
                if part.function_call is not None and not part.function_call.name:
                    error = Garbled("The provider's answer calls a tool without naming it.")
                    self._fail(error, events)
                    return
                self._part(part, events)
        if candidate.logprobs_result is not UNSET and self._open_kind == "text":
            self._likely(candidate.logprobs_result, events)
        word = candidate.finish_reason
        if not word or word == UNSPECIFIED:
            return
        reason = read_reason(word, has_output=self._has_output, message=candidate.finish_message)
        if isinstance(reason, Refused):
            self._fail(reason, events)
        else:
            self._finish = reason

    def _likely(self, result: Raw, events: list[Event]) -> None:
        """Tokens of the open text: before the last of it, if that came with them."""
        tokens = read_logprobs(result)
        if self._open is None or not tokens:
            return
        last = events[-1] if events else None
        at = len(events) - 1 if isinstance(last, TextDelta) else len(events)
        events.insert(at, Logprobs(self._open, tokens))

    def _fail(self, error: PlexusError, events: list[Event]) -> None:
        self._done = True
        events.append(Failure(error))

    def _part(self, part: answers.Part, events: list[Event]) -> None:
        text = part.text
        self._has_output = self._has_output or part.is_output
        if part.function_call is not None:
            self._state(part, events)
            self._call(part.function_call, events)
        elif part.thought:
            if text:
                events.append(ReasoningDelta(self._plain("reasoning", events), text))
            self._state(part, events)
        else:
            if text:
                events.append(TextDelta(self._plain("text", events), text))
            if self._open_kind == "text":
                self._texts.append(text or "")
            self._state(part, events)
        self._parts += 1

    def _plain(self, kind: _Plain, events: list[Event]) -> int:
        """The index of the open block of `kind`, opened if need be."""
        if self._open is not None and self._open_kind == kind:
            return self._open
        self._close(events)
        self._open = self._take_index()
        self._open_kind = kind
        self._texts.clear()
        self._texts_at = self._parts
        events.append(BlockStart(self._open, kind))
        return self._open

    def _take_index(self) -> int:
        self._next += 1
        return self._next - 1

    def _close(self, events: list[Event], *, is_last: bool = False) -> None:
        """End the open block, if there is one."""
        index = self._open
        if index is None:
            return
        self._open = None
        if self._open_kind == "text" and self._citations is not None:
            cited = self._citations.of(self._texts, self._texts_at, is_last=is_last)
            events += [CitationDelta(index, each) for each in cited]
        events.append(BlockEnd(index))

    def _search(self, events: list[Event]) -> None:
        search = self._citations.search() if self._citations is not None else None
        if search is not None:
            index = self._take_index()
            events += (BlockStart(index, "search"), Searched(index, search), BlockEnd(index))

    def _state(self, part: answers.Part, events: list[Event]) -> None:
        if part.thought_signature:
            index = self._plain("reasoning", events)
            crossing = self._crossing
            opaque = Opaque("gsig", part.thought_signature, crossing.provider, crossing.model)
            events.append(ReasoningSignature(index, opaque))
            self._close(events)

    def _call(self, call: answers.FunctionCall, events: list[Event]) -> None:
        self._close(events)
        self._calls += 1
        index = self._take_index()
        name = self._crossing.tool_names.get(call.name or "", call.name or "")
        is_custom = name in self._crossing.custom_tools
        tool_id = call.id or ids.tool_id(self._crossing, index)
        events.append(BlockStart(index, "tool", tool_id, name, is_custom))
        text = answers.argument_text(call)
        if is_custom:
            text = arguments.unwrapped(text)
        if text:
            events.append(ToolInputDelta(index, text))
        events.append(BlockEnd(index))
