"""A stream of text that can go on at another provider after it was cut off.

The client's writer lives on; a new reader takes the place of the one whose upstream has gone. What
the next provider says is the continuation of the text so far: its text goes on in the block that is
open, and its own beginning is left out. Only answers that are text alone can go on: half a tool
call cannot be continued, nor can reasoning be handed on.
"""

from collections.abc import Sequence

import msgspec

from plexus_proxy.errors import PlexusError
from plexus_proxy.formats.conversation import Conversation, Crossing, Text, Turn
from plexus_proxy.formats.events import (
    BlockEnd,
    BlockStart,
    Event,
    Failure,
    Start,
    TextDelta,
)
from plexus_proxy.formats.format import ClientFormat, Format, Observer
from plexus_proxy.formats.relay import Translation, native
from plexus_proxy.formats.sse import Framer

PREFILLED = ("messages", "gemini")
"""Formats whose models usually go on from the beginning of an answer."""


def with_beginning(conversation: Conversation, text: str) -> Conversation:
    """The request for the rest of an answer that began with `text`."""
    turn = Turn("assistant", (Text(text=text.rstrip()),))
    return msgspec.structs.replace(conversation, turns=(*conversation.turns, turn))


class Resumable(Translation):
    """A Translation that keeps a fault to itself as long as the answer might go on. See Relay."""

    __slots__ = (
        "_failure",
        "_lead",
        "_native",
        "_next",
        "_open",
        "_places",
        "_resumed",
        "_text",
        "_text_only",
    )

    def __init__(self, provider: Format, client: ClientFormat, crossing: Crossing) -> None:
        super().__init__(provider, client, crossing, forgets=provider is client)
        self._native = provider is client
        self._failure: PlexusError | None = None
        self._text: list[str] = []
        self._text_only = True
        self._open: int | None = None
        """The block that is open for the client."""
        self._lead = ""
        """White space that a continuation has begun with."""
        self._next = 0
        """The first index that no block has had."""
        self._resumed = False
        self._places: dict[int, int] = {}
        """Blocks of a continuation → the client's. Those that are missing are not shown."""

    @property
    def broken(self) -> bool:
        """The answer was cut off, and may go on: `resume` it, or `give_up`."""
        return self.fault is not None and self._failure is not None

    @property
    def text(self) -> str:
        """What the client has got so far."""
        return "".join(self._text)

    def resume(self, provider: Format, crossing: Crossing) -> None:
        """Go on with what another provider says. If it fails before it has said anything, `resume`
        again or `give_up`."""
        self._reader = provider.reader(crossing)
        self._framer = Framer()
        self.observer: Observer = provider.observer()
        self._places = {}
        self._lead = ""
        self._resumed = True
        self._ended = self.cut = False
        self.fault = None

    def give_up(self) -> bytes:
        """The in-band error that was kept back."""
        failure, self._failure = self._failure, None
        if failure is None:
            return b""
        self._ended = True
        self.fault = failure
        return self._writer.feed(Failure(failure))

    def fail(self, error: PlexusError) -> bytes:
        if self._ended or not self._can_go_on() or self.observer.complete:
            return super().fail(error)
        self._ended = True
        self.fault = self._failure = error
        return b""

    def _can_go_on(self) -> bool:
        return self._text_only and bool(self.text.strip())

    def _write(self, events: Sequence[Event], out: list[bytes]) -> None:
        if self._native:
            events = native(events)
        if self._resumed:
            events = self._continued(events)
        kept: list[Event] = []
        for event in events:
            if isinstance(event, Failure) and self._can_go_on():
                super()._write(kept, out)
                self._ended = True
                self.fault = self._failure = event.error
                return
            self._note(event)
            kept.append(event)
        super()._write(kept, out)

    def _note(self, event: Event) -> None:
        match event:
            case BlockStart():
                self._next = max(self._next, event.index + 1)
                self._open = event.index
                self._text_only = self._text_only and event.kind == "text"
            case BlockEnd():
                self._open = None
            case TextDelta():
                self._text.append(event.text)
            case _:
                pass

    def _continued(self, events: Sequence[Event]) -> list[Event]:
        """As a part of the answer so far: without its start, in the block that is open."""
        out: list[Event] = []
        for event in events:
            if isinstance(event, Start):
                continue
            index: int | None = getattr(event, "index", None)
            if isinstance(event, BlockStart) and event.kind != "reasoning":
                goes_on = event.kind == "text" and self._open is not None and not self._places
                self._places[event.index] = self._next if self._open is None else self._open
                if goes_on:
                    continue
                self._places[event.index] = self._next
            if index is not None:
                if index not in self._places:
                    continue
                event = msgspec.structs.replace(event, index=self._places[index])
            if isinstance(event, TextDelta) and self._failure is not None:
                self._lead += event.text
                if not self._lead.strip():
                    continue  # it has said nothing yet, and may still fail unseen
                event = msgspec.structs.replace(event, text=self._joined(self._lead))
                self._failure = None
            elif isinstance(event, BlockStart) and event.kind != "text":
                self._failure = None
            out.append(event)
            if isinstance(event, BlockStart):
                self._next = max(self._next, event.index + 1)
        return out

    def _joined(self, text: str) -> str:
        """The first words of a continuation: it was asked for without the white space that the
        client has already."""
        return text.lstrip() if self.text != self.text.rstrip() else text
