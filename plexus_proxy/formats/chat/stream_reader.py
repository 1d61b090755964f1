"""Chat Completions stream → canonical events.

The wire has no blocks: a piece of another kind than the last one ends the open text, reasoning or
refusal block and opens the next. Tool calls are told apart by their index, else by a new id, and
stay open side by side, because their pieces may interleave; one whose arguments are a complete
object ends when something else begins. The finish reason is held until [DONE] or the stream's end,
since usage comes after it; without any finish reason and [DONE] the answer was cut.

Source: OpenAI API reference, "The chat completion chunk object"; translation rules §15.5.
"""

from collections.abc import Sequence
from typing import Literal

import msgspec
from msgspec import UNSET
from msgspec.structs import replace

from plexus_proxy.errors import Garbled
from plexus_proxy.formats import arguments
from plexus_proxy.formats.chat import chunks
from plexus_proxy.formats.chat.errors import error_of_choice, read_error
from plexus_proxy.formats.chat.reasoning import read_call_state, read_reasoning
from plexus_proxy.formats.chat.reasons import ERROR, read_reason
from plexus_proxy.formats.chat.usage import read_usage
from plexus_proxy.formats.conversation import Crossing, Reasoning
from plexus_proxy.formats.events import (
    BlockEnd,
    BlockStart,
    Citation,
    CitationDelta,
    Event,
    Failure,
    Finish,
    FinishReason,
    Logprobs,
    ReasoningDelta,
    ReasoningSignature,
    Start,
    TextDelta,
    TokenLogprob,
    ToolInputDelta,
    Usage,
    UsageUpdate,
)
from plexus_proxy.formats.fold import final_reason
from plexus_proxy.formats.sse import Frame

_Plain = Literal["text", "reasoning", "refusal"]
_FUNCTION_CALL = "function_call"


class _Tool:
    """A tool call being streamed. Its block opens when its name is known.

    One that is `wrapped` is a function that stands for a custom tool: its input is known when it is
    whole."""

    __slots__ = ("custom", "ended", "id", "index", "name", "pieces", "wrapped")

    def __init__(self, tool_id: str, custom: bool) -> None:
        self.id = tool_id
        self.name = ""
        self.custom = custom
        self.index: int | None = None
        self.pieces: list[str] = []
        self.ended = False
        self.wrapped = False

    @property
    def is_whole(self) -> bool:
        """Nothing can follow: the arguments are a complete object."""
        text = "".join(self.pieces)
        if self.custom or not text.rstrip().endswith("}"):
            return False
        try:
            msgspec.json.decode(text)
        except (msgspec.DecodeError, RecursionError):
            return False
        return True


class ChatReader:
    """See Reader."""

    __slots__ = (
        "_chars",
        "_crossing",
        "_done",
        "_finish",
        "_last_tool",
        "_next",
        "_open",
        "_open_at",
        "_open_kind",
        "_refused",
        "_started",
        "_thoughts",
        "_thoughts_at",
        "_tools",
        "_usage",
        "skipped",
    )

    def __init__(self, crossing: Crossing) -> None:
        self._crossing = crossing
        self._started = False
        self._done = False
        self._next = 0
        self._open: int | None = None
        """Index of the open text, reasoning or refusal block."""
        self._open_kind: _Plain = "text"
        self._open_at = 0
        """Characters of text that came before it."""
        self._chars = 0
        self._thoughts: list[str] = []
        """Reasoning that no state has come for yet."""
        self._thoughts_at = 0
        """Where the open block's begins in it."""
        self._tools: dict[int | str, _Tool] = {}
        self._last_tool: _Tool | None = None
        self._finish: FinishReason | None = None
        self._refused = False
        self._usage: Usage | None = None
        self.skipped = 0
        """Frames of a shape we do not know."""

    def feed(self, frame: Frame) -> Sequence[Event]:
        data = frame.data
        if not data or self._done:
            return ()
        if data == chunks.DONE:
            return self._end(is_complete=self._finish is not None or bool(self._next))
        try:
            chunk = chunks.read_chunk(data)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Garbled("The provider's stream holds an event that is no JSON.") from error
        if chunk is None:
            self.skipped += 1
            return ()
        if chunks.is_error(chunk, frame):
            self._done = True
            return (Failure(read_error(200, {}, data, in_stream=True)),)
        events: list[Event] = []
        if not self._started and (chunk.choices or chunk.id):
            self._started = True
            events.append(Start(chunk.id or "", chunk.model or self._crossing.model))
        choice = chunks.first_choice(chunk)
        if choice is not None:
            if choice.delta is not None:
                self._delta(choice, choice.delta, events)
            if choice.finish_reason == ERROR:
                self._done = True
                return [*events, Failure(error_of_choice(choice.error, in_stream=True))]
            if choice.finish_reason:
                self._finish = read_reason(choice.finish_reason)
        if (usage := chunks.usage_of(chunk)) is not None:
            self._usage = read_usage(usage)
        return events

    def close(self) -> Sequence[Event]:
        return () if self._done else self._end(is_complete=self._finish is not None)

    def _end(self, *, is_complete: bool) -> Sequence[Event]:
        self._done = True
        if not is_complete:
            return (
                Failure(
                    Garbled(
                        "The provider's stream ended before the answer was complete.",
                        code="upstream_cut",
                    )
                ),
            )
        if any(tool.index is None for tool in self._tools.values()):
            return (Failure(Garbled("The provider's answer calls a tool without naming it.")),)
        events: list[Event] = []
        self._close_plain(events)
        for tool in self._tools.values():
            self._close_tool(tool, events)
        if self._usage is not None:
            events.append(UsageUpdate(self._usage))
        reason = final_reason(self._finish or "stop", bool(self._tools))
        events.append(Finish("refusal" if reason == "stop" and self._refused else reason))
        return events

    def _delta(self, choice: chunks.Choice, delta: chunks.Delta, events: list[Event]) -> None:
        if not (
            delta.reasoning_content is UNSET
            and delta.reasoning is UNSET
            and delta.reasoning_details is UNSET
        ):
            for part in read_reasoning(delta):
                self._reasoning(part, events)
        text = chunks.text_of(delta.content)
        if likely := chunks.logprobs_of(choice.logprobs):
            self._likely(likely, has_text=bool(text), events=events)
        if text:
            events.append(TextDelta(self._plain("text", events), text))
            self._chars += len(text)
        for citation in chunks.citations_of(delta.annotations):
            self._cite(citation, events)
        if delta.refusal:
            events.append(TextDelta(self._plain("refusal", events), delta.refusal))
            self._refused = True
        for call in delta.tool_calls or ():
            self._call(call, events)
        if delta.function_call is not None:
            tool = self._tools.get(_FUNCTION_CALL) or self._new_tool(_FUNCTION_CALL, "", False)
            self._function(tool, delta.function_call, events)

    def _likely(
        self, tokens: tuple[TokenLogprob, ...], *, has_text: bool, events: list[Event]
    ) -> None:
        """Tokens of the text beside them, else of the open text."""
        if has_text:
            events.append(Logprobs(self._plain("text", events), tokens))
        elif self._open is not None and self._open_kind == "text":
            events.append(Logprobs(self._open, tokens))

    def _plain(self, kind: _Plain, events: list[Event]) -> int:
        """The index of the open block of `kind`, opened if need be."""
        if self._open is not None and self._open_kind == kind:
            return self._open
        self._close_plain(events)
        self._close_whole_tools(events)
        self._open = self._take_index()
        self._open_kind = kind
        self._open_at = self._chars
        self._thoughts_at = len(self._thoughts)
        events.append(BlockStart(self._open, kind))
        return self._open

    def _close_plain(self, events: list[Event]) -> None:
        if self._open is not None:
            events.append(BlockEnd(self._open))
            self._open = None

    def _take_index(self) -> int:
        self._next += 1
        return self._next - 1

    def _reasoning(self, part: Reasoning, events: list[Event]) -> None:
        """Text goes to the open block; state ends it, for there is one state to a block.

        Servers repeat, beside the state, the text it belongs to."""
        thoughts = self._thoughts
        is_repeated = part.opaque is not None and part.text in (
            "".join(thoughts[self._thoughts_at :]),
            "".join(thoughts),
        )
        if part.text and not is_repeated:
            index = self._plain("reasoning", events)
            thoughts.append(part.text)
            events.append(ReasoningDelta(index, part.text))
        if part.opaque is not None:
            index = self._plain("reasoning", events)
            opaque = replace(
                part.opaque, issuer=self._crossing.provider, model=self._crossing.model
            )
            events.append(ReasoningSignature(index, opaque))
            thoughts.clear()
            self._close_plain(events)

    def _cite(self, citation: Citation, events: list[Event]) -> None:
        """Offsets on the wire are of the whole text, ours of the block's."""
        if self._open is None or self._open_kind != "text":
            return
        start, end = citation.start, citation.end
        moved = replace(
            citation,
            start=None if start is None else max(0, start - self._open_at),
            end=None if end is None else max(0, end - self._open_at),
        )
        events.append(CitationDelta(self._open, moved))

    def _call(self, call: chunks.ToolCall, events: list[Event]) -> None:
        name = (call.function or call.custom or chunks.Function()).name or ""
        tool = self._known(call, name)
        if tool is None:
            key = call.index if call.index is not None else call.id or f"#{len(self._tools)}"
            tool = self._new_tool(key, call.id or "", call.custom is not None)
        elif call.id and tool.index is None:
            tool.id = call.id
        state = read_call_state(call.extra_content)
        if state is not None and tool.index is None:
            self._reasoning(Reasoning(text="", opaque=state), events)
        if call.function is not None:
            self._function(tool, call.function, events)
        elif call.custom is not None:
            self._piece(tool, name, call.custom.input or "", events)

    def _known(self, call: chunks.ToolCall, name: str) -> _Tool | None:
        """The call that a piece belongs to. An empty id or name continues one; another id and a
        name begin a new one, also at an index that was used before."""
        if call.index is not None:
            tool = self._tools.get(call.index)
            if tool is not None and call.id and name and tool.id and call.id != tool.id:
                self._tools[f"{call.index}#{len(self._tools)}"] = self._tools.pop(call.index)
                return None
            return tool
        if call.id:
            return next((tool for tool in self._tools.values() if tool.id == call.id), None)
        last = self._last_tool
        if last is None or not name or not last.name:
            return last
        is_repeated = self._crossing.tool_names.get(name, name) == last.name
        return last if is_repeated and not last.is_whole else None

    def _new_tool(self, key: int | str, tool_id: str, custom: bool) -> _Tool:
        tool = self._tools[key] = self._last_tool = _Tool(tool_id, custom)
        return tool

    def _function(self, tool: _Tool, function: chunks.Function, events: list[Event]) -> None:
        self._piece(tool, function.name or "", chunks.argument_text(function.arguments), events)

    def _piece(self, tool: _Tool, name: str, text: str, events: list[Event]) -> None:
        if tool.index is None and name:
            self._close_plain(events)
            self._close_whole_tools(events)
            tool.name = self._crossing.tool_names.get(name, name)
            tool.index = self._take_index()
            tool.wrapped = not tool.custom and tool.name in self._crossing.custom_tools
            is_custom = tool.custom or tool.wrapped
            events.append(BlockStart(tool.index, "tool", tool.id, tool.name, is_custom))
            text = "".join(tool.pieces) + text
            tool.pieces.clear()
        if not text or tool.ended:
            return
        tool.pieces.append(text)
        if tool.index is not None and not tool.wrapped:
            events.append(ToolInputDelta(tool.index, text))

    def _close_whole_tools(self, events: list[Event]) -> None:
        for tool in self._tools.values():
            if tool.index is not None and not tool.ended and tool.is_whole:
                self._close_tool(tool, events)

    def _close_tool(self, tool: _Tool, events: list[Event]) -> None:
        if tool.index is not None and not tool.ended:
            tool.ended = True
            if tool.wrapped and tool.pieces:
                text = arguments.unwrapped("".join(tool.pieces))
                events.append(ToolInputDelta(tool.index, text))
            events.append(BlockEnd(tool.index))
