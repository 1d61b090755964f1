"""Structured output by a forced tool, for models that know no other way: the tool's input is the
answer, as text, and the client never sees the call.

Text beside the call is no part of the answer. It is held back until the call has begun, and let go
only if there is none.
"""

from collections.abc import Sequence

from msgspec.structs import replace

from plexus_proxy.formats.events import (
    BlockEnd,
    BlockStart,
    Event,
    Failure,
    Finish,
    Logprobs,
    TextDelta,
    ToolInputDelta,
)

NAME = "structured_output"


class AnswerTool:
    """Events in, events without the call out."""

    hit = False
    """It never ends an answer early: see Stops."""

    __slots__ = ("_answer", "_beside", "_held", "_place")

    def __init__(self) -> None:
        self._answer: int | None = None
        """The call's index, and below it the one the client knows it by."""
        self._place = 0
        self._beside: set[int] = set()
        self._held: list[Event] = []

    def feed(self, events: Sequence[Event]) -> list[Event]:
        out: list[Event] = []
        for event in events:
            match event:
                case BlockStart(kind="tool", tool_name=name) if name == NAME:
                    self._answer = event.index
                    self._place = event.index - len(self._beside)
                    self._held.clear()
                    out.append(BlockStart(self._place, "text"))
                case BlockStart(kind="text"):
                    self._beside.add(event.index)
                    self._hold(event)
                case TextDelta() | Logprobs() | BlockEnd() if event.index in self._beside:
                    self._hold(event)
                case ToolInputDelta() if event.index == self._answer:
                    out.append(TextDelta(self._place, event.text))
                case BlockEnd() if event.index == self._answer:
                    out.append(BlockEnd(self._place))
                case Finish():
                    out += self._held
                    is_answered = self._answer is not None and event.reason == "tool_calls"
                    out.append(replace(event, reason="stop") if is_answered else event)
                case Failure():
                    out += (*self._held, event)
                case _:
                    out.append(event)
        return out

    def _hold(self, event: Event) -> None:
        if self._answer is None:
            self._held.append(event)
