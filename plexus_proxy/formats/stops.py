"""Stop sequences that a provider's API cannot express, watched for by us.

The machine has one state per open text block: what is held back because a stop sequence may have
begun with it. A block's end lets go of that. The first sequence that is complete ends the answer:
the text before it is the last, open blocks are closed, and nothing after it counts. Probabilities
of tokens wait for their text.
"""

from collections.abc import Sequence

from plexus_proxy.errors import BadRequest
from plexus_proxy.formats.events import (
    BlockEnd,
    BlockStart,
    Event,
    Finish,
    Logprobs,
    TextDelta,
    TokenLogprob,
    UsageUpdate,
)

MAX_STOPS = 64
MAX_STOP_CHARS = 1000


def watchable(sequences: Sequence[str]) -> tuple[str, ...]:
    """The same, without empty ones. Raises BadRequest if it would take too long to watch for them:
    they are looked for in every piece of an answer."""
    found = tuple(each for each in sequences if each)
    if len(found) > MAX_STOPS or any(len(each) > MAX_STOP_CHARS for each in found):
        raise BadRequest(
            f"At most {MAX_STOPS} stop sequences of {MAX_STOP_CHARS} characters can be used with "
            "this model, whose own API cannot take all of them."
        )
    return found


class Stops:
    """Events in, the same events out until a sequence is complete; then `hit` is set."""

    __slots__ = ("_held", "_likely", "_open", "_room", "_sequences", "hit")

    def __init__(self, sequences: Sequence[str]) -> None:
        self._sequences = tuple(each for each in sequences if each)
        self._held: dict[int, str] = {}
        self._likely: dict[int, list[TokenLogprob]] = {}
        """Tokens whose text has not been let go."""
        self._room: dict[int, int] = {}
        """Characters let go beyond the last token that was."""
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
                    held = self._held.pop(event.index, "")
                    if likely := self._likely.pop(event.index, None):
                        out.append(Logprobs(event.index, tuple(likely)))
                    if held:
                        out.append(TextDelta(event.index, held))
                    out.append(event)
                case Logprobs() if event.index in self._held:
                    self._likely.setdefault(event.index, []).extend(event.tokens)
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
                self._let_go(delta.index, text[:kept], out)
            return
        at, sequence = found
        if at:
            self._let_go(delta.index, text[:at], out)
        for index in self._open:
            if index != delta.index and self._held.get(index):
                self._let_go(index, self._held[index], out)
            out.append(BlockEnd(index))
        out.append(Finish("stop", sequence))
        self.hit = True

    def _let_go(self, index: int, text: str, out: list[Event]) -> None:
        """The text, and before it the tokens that are whole with it."""
        if likely := self._likely.get(index):
            room = self._room.get(index, 0) + len(text)
            count = 0
            while count < len(likely) and len(likely[count].chosen.token) <= room:
                room -= len(likely[count].chosen.token)
                count += 1
            self._room[index] = room
            if count:
                out.append(Logprobs(index, tuple(likely[:count])))
                del likely[:count]
        out.append(TextDelta(index, text))

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
