"""Stop sequences that a provider's API cannot express, watched for by us.

The machine has one state per open text block: what is held back because a stop sequence may have
begun with it. A block's end lets go of that. The first sequence that is complete ends the answer:
the text before it is the last, open blocks are closed, and nothing after it counts.
"""

from collections.abc import Sequence

from plexus_proxy.formats.events import BlockEnd, BlockStart, Event, Finish, TextDelta, UsageUpdate


class Stops:
    """Events in, the same events out until a sequence is complete; then `hit` is set."""

    __slots__ = ("_held", "_open", "_sequences", "hit")

    def __init__(self, sequences: Sequence[str]) -> None:
        self._sequences = tuple(each for each in sequences if each)
        self._held: dict[int, str] = {}
        self._open: dict[int, None] = {}
        self.hit = False

    def feed(self, events: Sequence[Event]) -> list[Event]:
        out: list[Event] = []
        for event in events:
            if self.hit:
                if isinstance(event, UsageUpdate) and out:  # it came with the sequence
                    out.insert(-1, event)
                continue
            match event:
                case BlockStart():
                    self._open[event.index] = None
                    if event.kind == "text":
                        self._held[event.index] = ""
                    out.append(event)
                case TextDelta() if event.index in self._held:
                    self._text(event, out)
                case BlockEnd():
                    self._open.pop(event.index, None)
                    if held := self._held.pop(event.index, ""):
                        out.append(TextDelta(event.index, held))
                    out.append(event)
                case _:
                    out.append(event)
        return out

    def _text(self, delta: TextDelta, out: list[Event]) -> None:
        text = self._held[delta.index] + delta.text
        found = self._first(text)
        if found is None:
            kept = len(text) - self._begun(text)
            self._held[delta.index] = text[kept:]
            if kept:
                out.append(TextDelta(delta.index, text[:kept]))
            return
        at, sequence = found
        if at:
            out.append(TextDelta(delta.index, text[:at]))
        for index in self._open:
            if index != delta.index and self._held.get(index):
                out.append(TextDelta(index, self._held[index]))
            out.append(BlockEnd(index))
        out.append(Finish("stop", sequence))
        self.hit = True

    def _first(self, text: str) -> tuple[int, str] | None:
        """Where the sequence begins that is complete first, and which it is."""
        found = [(text.find(each), each) for each in self._sequences]
        ends = [(at + len(each), at, each) for at, each in found if at >= 0]
        if not ends:
            return None
        _, at, sequence = min(ends)
        return at, sequence

    def _begun(self, text: str) -> int:
        """How many characters at the end may be the beginning of a sequence."""
        return max(
            (
                size
                for each in self._sequences
                for size in range(1, min(len(each), len(text) + 1))
                if text.endswith(each[:size])
            ),
            default=0,
        )
