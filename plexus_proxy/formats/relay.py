"""One upstream answer on its way to the client: bytes in, bytes out.

`Passthrough` cuts frames and forwards the very bytes it got; `Translation` reads frames into
canonical events and writes those for the client. Both watch the upstream with the same observer,
never raise, and end honestly: a complete answer with its terminal frame, any other with the client
format's in-band error. Frames that have not ended yet are held back, so whatever is appended stands
on a frame's boundary. The end of an answer whose reasoning is to be kept waits in `tail`.
"""

from collections.abc import Callable, Sequence

import msgspec
from msgspec.structs import replace

from plexus_proxy.errors import Garbled, PlexusError
from plexus_proxy.formats.anchors import mark, text_anchor
from plexus_proxy.formats.answertool import AnswerTool
from plexus_proxy.formats.conversation import Crossing, Reasoning, Remembered
from plexus_proxy.formats.events import (
    BlockStart,
    Event,
    Failure,
    Finish,
    Opaque,
    ReasoningDelta,
    ReasoningSignature,
    TextDelta,
)
from plexus_proxy.formats.format import ClientFormat, Format, Observer
from plexus_proxy.formats.sse import Frame, Framer
from plexus_proxy.formats.stops import Stops

_LAST = (Finish, Failure)
_CUT = "The provider's stream ended before the answer was complete."
_BLANK_LINE = b"\n\n"
_LINE_ENDS = b"\r\n"


class Passthrough:
    """Same format on both sides. See Relay.

    The frame that only carries usage is left out for a client that did not ask for it: we did.
    """

    __slots__ = ("_crossing", "_ended", "_format", "_framer", "_last", "fault", "observer")

    waiting = False
    cut = False

    def __init__(self, fmt: Format, crossing: Crossing) -> None:
        self._format = fmt
        self._crossing = crossing
        self._framer = Framer()
        self._last: bytes = b""
        """The newest frame's data."""
        self._ended = False
        self.observer: Observer = fmt.observer()
        self.fault: PlexusError | None = None

    @property
    def committed(self) -> bool:
        return self.observer.committed

    def feed(self, chunk: bytes) -> bytes:
        if self._ended:
            return b""
        try:
            frames = self._framer.feed(chunk)
        except Garbled as error:
            return self.fail(error)
        return self._forward(frames)

    def _forward(self, frames: Sequence[Frame]) -> bytes:
        observer = self.observer
        shows_usage = self._crossing.include_usage
        out: list[bytes] = []
        for frame in frames:
            observer.frame(frame)
            self._last = frame.data or self._last
            if observer.failure is not None:
                out.append(frame.raw)
                self.fault = observer.failure
                self._ended = True
                break
            if shows_usage or not self._format.is_usage_only(frame):
                out.append(frame.raw)
        return b"".join(out)

    def close(self) -> bytes:
        if self._ended:
            return b""
        out = self._forward(_last(self._framer))
        if out.strip(_LINE_ENDS):  # clients ignore a last frame without its blank line
            out += b"\n" if out.endswith(b"\n") else _BLANK_LINE
        if self.fault is not None:
            return out
        observer = self.observer
        if not observer.complete:
            return out + self.fail(Garbled(_CUT, code="upstream_cut"))
        self._ended = True
        if observer.ended:
            return out
        if observer.usage is None and self._crossing.include_usage:
            out += self._format.estimated_usage(self._last, observer.output_chars, self._crossing)
        return out + self._format.done

    def fail(self, error: PlexusError) -> bytes:
        if self._ended:
            return b""
        if self.observer.complete:  # only the terminal frame is missing
            return self.close()
        self._ended = True
        self.fault = error
        return self._format.stream_error(error, self._last)

    def remembered(self) -> Remembered | None:
        """Nothing: in the same format clients see the provider's own state and send it back."""
        return None

    def tail(self) -> bytes:
        return b""


class Patched(Passthrough):
    """Same format on both sides, with an adapter that touches some frames. See Relay."""

    __slots__ = ("_patch",)

    def __init__(self, fmt: Format, crossing: Crossing, patch: Callable[[bytes], bytes]) -> None:
        """`patch` turns the data of a frame into another; most it gives back as they are."""
        super().__init__(fmt, crossing)
        self._patch = patch

    def _forward(self, frames: Sequence[Frame]) -> bytes:
        return super()._forward([_patched(frame, self._patch) for frame in frames])


def patched(stream: bytes, patch: Callable[[bytes], bytes]) -> bytes:
    """Whole frames that we wrote ourselves, as `Patched` would send them."""
    return b"".join(_patched(frame, patch).raw for frame in Framer().feed(stream))


def _patched(frame: Frame, patch: Callable[[bytes], bytes]) -> Frame:
    data = patch(frame.data)
    if data is frame.data:
        return frame
    event = f"event: {frame.event}\n".encode() if frame.event else b""
    return Frame(frame.event, data, b"%bdata: %b\n\n" % (event, data))


def _last(framer: Framer) -> list[Frame]:
    """The frame that ended with the stream, if it had come to its own end."""
    return [frame for frame in framer.close() if _is_whole(frame)]


def _is_whole(frame: Frame) -> bool:
    if not frame.data:
        return not frame.raw.strip(_LINE_ENDS)
    try:
        msgspec.json.decode(frame.data)
    except (msgspec.DecodeError, RecursionError):
        return frame.data.startswith(b"[DONE]")
    return True


class Translation:
    """Different formats: frames → events → the client's frames. See Relay."""

    __slots__ = (
        "_ended",
        "_framer",
        "_memory",
        "_reader",
        "_stages",
        "_tail",
        "_writer",
        "cut",
        "fault",
        "observer",
        "waiting",
    )

    def __init__(
        self,
        provider: Format,
        client: ClientFormat,
        crossing: Crossing,
        *,
        forgets: bool = False,
    ) -> None:
        """`forgets`: the client sends back the provider's own state, so nothing is remembered."""
        self._framer = Framer()
        self._reader = provider.reader(crossing)
        self._writer = client.writer(crossing)
        self._stages = _stages(crossing)
        self._memory = _Memory(forgets=forgets)
        self._tail = b""
        self._ended = False
        self.waiting = False
        self.cut = False
        self.observer: Observer = provider.observer()
        self.fault: PlexusError | None = None

    @property
    def committed(self) -> bool:
        return self.observer.committed

    def feed(self, chunk: bytes) -> bytes:
        if self._ended:
            return b""
        out: list[bytes] = []
        try:
            self._translate(self._framer.feed(chunk), out)
        except Garbled as error:
            out.append(self.fail(error))
        return b"".join(out)

    def _translate(self, frames: Sequence[Frame], out: list[bytes]) -> None:
        for frame in frames:
            self.observer.frame(frame)
            self._write(self._reader.feed(frame), out)
            if self._ended:
                return

    def _write(self, events: Sequence[Event], out: list[bytes]) -> None:
        for stage in self._stages:
            events = stage.feed(events)
            self.cut = self.cut or stage.hit
        feed = self._writer.feed
        note = self._memory.note
        for event in events:
            written = feed(note(event))
            if type(event) in _LAST:
                self._ended = True
                self.fault = event.error if isinstance(event, Failure) else None
                if self.fault is None and self._memory.remembered() is not None:
                    self._tail = written
                    self.waiting = True
                    return
            out.append(written)

    def close(self) -> bytes:
        if self._ended:
            return b""
        out: list[bytes] = []
        try:
            self._translate(_last(self._framer), out)
        except Garbled as error:
            out.append(self.fail(error))
        if not self._ended:
            self._write(self._reader.close(), out)
        return b"".join(out)

    def fail(self, error: PlexusError) -> bytes:
        if self._ended:
            return b""
        if self.observer.complete:  # only usage and the terminal frame are missing
            return self.close()
        self._ended = True
        self.fault = error
        return self._writer.feed(Failure(error))

    def remembered(self) -> Remembered | None:
        return self._memory.remembered()

    def tail(self) -> bytes:
        tail, self._tail, self.waiting = self._tail, b"", False
        return tail


class Replayed:
    """The relay of an answer that has already been written, all but its `tail`. See Relay."""

    __slots__ = ("_remembered", "_tail", "fault", "observer")

    committed = True
    waiting = True
    cut = False

    def __init__(self, observer: Observer, remembered: Remembered | None, tail: bytes) -> None:
        self._remembered = remembered
        self._tail = tail
        self.observer = observer
        self.fault: PlexusError | None = None

    def feed(self, chunk: bytes) -> bytes:
        return b""

    def close(self) -> bytes:
        return b""

    def fail(self, error: PlexusError) -> bytes:
        return b""

    def remembered(self) -> Remembered | None:
        return self._remembered

    def tail(self) -> bytes:
        return self._tail


def events_of_stream(
    provider: Format, crossing: Crossing, body: bytes, observer: Observer
) -> list[Event]:
    """The events of a whole stream, which a provider sent to a client that wanted none.

    Raises the error it ends with, Garbled if it cannot be read."""
    framer = Framer()
    reader = provider.reader(crossing)
    events: list[Event] = []
    for frame in [*framer.feed(body), *_last(framer)]:
        observer.frame(frame)
        events += reader.feed(frame)
    events += reader.close()
    for event in events:
        if isinstance(event, Failure):
            raise event.error
    return events


def stream_of_events(
    client: ClientFormat, crossing: Crossing, events: Sequence[Event]
) -> tuple[bytes, bytes]:
    """The stream for a client that wanted one, of a provider that sent a whole answer: all but its
    end, and its end."""
    writer = client.writer(crossing)
    *most, last = [writer.feed(event) for event in events]
    return b"".join(most), last


def kept_of(events: Sequence[Event], crossing: Crossing) -> tuple[list[Event], Remembered | None]:
    """A whole answer as the client is to get it, cut where it was to stop and its tool ids marked,
    and the reasoning to keep for a client that does not send it back."""
    for stage in _stages(crossing):
        events = stage.feed(events)
    memory = _Memory()
    return [memory.note(event) for event in events], memory.remembered()


def native(events: Sequence[Event]) -> list[Event]:
    """A whole answer for a client of the provider's own format: the state in it goes as it is."""
    return [
        replace(event, opaque=replace(event.opaque, issuer=""))
        if isinstance(event, ReasoningSignature)
        else event
        for event in events
    ]


def _stages(crossing: Crossing) -> Sequence[AnswerTool | Stops]:
    """What makes an answer of what the provider was made to say in its place."""
    stages: list[AnswerTool | Stops] = []
    if crossing.answer_tool:
        stages.append(AnswerTool())
    if crossing.stops:
        stages.append(Stops(crossing.stops))
    return stages


class _Memory:
    """Collects what `Remembered` is made of while events pass, and marks the ids of the calls that
    it will be found by."""

    __slots__ = (
        "_chars",
        "_forgets",
        "_has_calls",
        "_opaque",
        "_order",
        "_said",
        "_texts",
        "_tool_ids",
    )

    def __init__(self, *, forgets: bool = False) -> None:
        self._forgets = forgets
        self._chars = 0
        self._has_calls = False
        self._said: list[str] = []
        self._tool_ids: list[str] = []
        self._order: dict[int, int] = {}
        """Reasoning blocks: index → characters of text that came before."""
        self._texts: dict[int, list[str]] = {}
        self._opaque: dict[int, Opaque] = {}

    def note(self, event: Event) -> Event:
        """The event as the client is to get it."""
        note = self._NOTE.get(type(event))
        return event if note is None or self._forgets else note(self, event)

    def _text(self, event: TextDelta) -> Event:
        self._chars += len(event.text)
        self._said.append(event.text)
        return event

    def _block_start(self, event: BlockStart) -> Event:
        if event.kind == "tool":
            self._has_calls = True
            if event.tool_id and self._order:
                self._tool_ids.append(event.tool_id)
                return replace(event, tool_id=mark(event.tool_id))
        elif event.kind == "reasoning":
            self._order[event.index] = self._chars
            self._texts[event.index] = []
        return event

    def _reasoning(self, event: ReasoningDelta) -> Event:
        self._texts[event.index].append(event.text)
        return event

    def _signature(self, event: ReasoningSignature) -> Event:
        self._opaque[event.index] = event.opaque
        return event

    def remembered(self) -> Remembered | None:
        parts = tuple(
            Reasoning(
                text="".join(self._texts[index]), opaque=self._opaque.get(index), text_offset=at
            )
            for index, at in self._order.items()
        )
        if parts and self._tool_ids:
            return Remembered(tuple(self._tool_ids), parts)
        if self._has_calls:
            return None
        text = "".join(self._said)
        if self._opaque and text.strip():  # without calls, text alone need never be sent back
            return Remembered((text_anchor(text),), parts)
        return None

    _NOTE: dict[type[Event], Callable[..., Event]] = {  # noqa: RUF012 - never changed
        TextDelta: _text,
        BlockStart: _block_start,
        ReasoningDelta: _reasoning,
        ReasoningSignature: _signature,
    }
