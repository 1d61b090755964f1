"""What a usage row and the commit point need of a Messages answer."""

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from plexus_proxy.errors import Refused, UpstreamFault
from plexus_proxy.formats.emptiness import counts_as_empty
from plexus_proxy.formats.events import Usage
from plexus_proxy.formats.lenient import Lenient
from plexus_proxy.formats.messages import stream_events as wire
from plexus_proxy.formats.messages.errors import read_error
from plexus_proxy.formats.messages.usage import WireUsage, known_usage, merge_usage, read_usage
from plexus_proxy.formats.refusals import error_of_answer
from plexus_proxy.formats.sse import Frame

_TOOL_USE = "tool_use"
_SPOKEN = ("text", "thinking")
"""Blocks that hold nothing until a delta comes."""
_NO_USAGE = WireUsage()


def is_usage_only(frame: Frame) -> bool:
    """See Format.is_usage_only: there is no such event."""
    return False


class MessagesObserver:
    """See Observer. Complete with a stop reason, which comes just before the terminal event."""

    __slots__ = (
        "_blank",
        "_usage",
        "committed",
        "complete",
        "ended",
        "failure",
        "finish_reason",
        "output_chars",
        "tool_calls",
        "usage",
    )
    kept_id = None

    def __init__(self) -> None:
        self._blank = True
        self._usage = _NO_USAGE
        self.usage: Usage | None = None
        self.finish_reason: str | None = None
        self.tool_calls = 0
        self.output_chars = 0
        self.committed = False
        self.complete = False
        self.ended = False
        self.failure: UpstreamFault | None = None

    @property
    def empty(self) -> bool:
        return (
            self._blank
            and self.complete
            and self.finish_reason in (None, "end_turn")
            and counts_as_empty(self.usage)
        )

    def frame(self, frame: Frame) -> None:
        if not frame.data:
            return
        try:
            event = wire.read_event(frame.data)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return
        if wire.is_error(event, frame):
            self.failure = read_error(200, {}, frame.data, in_stream=True)
        if event is None:
            return
        match event.type:
            case "content_block_delta":
                if (delta := event.delta) is not None:
                    text = delta.text or delta.thinking or delta.partial_json or ""
                    self.output_chars += len(text)
                    if self._blank and (text.strip() or delta.text is delta.thinking is None):
                        self._say()
            case "content_block_start":
                block = event.content_block
                if block is None or block.type not in _SPOKEN:
                    self._say()
                    self.tool_calls += block is not None and block.type == _TOOL_USE
            case "message_start":
                if event.message is not None and event.message.usage is not None:
                    self._count(event.message.usage)
            case "message_delta":
                if event.delta is not None and event.delta.stop_reason:
                    self.finish_reason = event.delta.stop_reason
                    self.committed = self.complete = True
                if event.usage is not None:
                    self._count(event.usage)
            case "message_stop":
                self.committed = self.complete = self.ended = True
            case _:
                pass

    def _say(self) -> None:
        self._blank = False
        self.committed = True

    def _count(self, usage: WireUsage) -> None:
        self._usage = merge_usage(self._usage, usage)
        self.usage = read_usage(self._usage)

    def body(self, body: bytes) -> None:
        answer = _ANSWER.answer(body)
        if answer.content is None:
            error = error_of_answer(body)
            if not isinstance(error, Refused):
                raise error
            self.failure = error
            return
        self.committed = self.complete = self.ended = True
        self.finish_reason = answer.stop_reason
        self.usage = known_usage(answer.usage)
        for each in answer.content:
            block = _BLOCK.known(each)
            if block is not None:
                text = block.text or block.thinking or ""
                self.tool_calls += block.type == _TOOL_USE
                self.output_chars += len(text) + len(block.input)
                if block.type not in _SPOKEN or text.strip():
                    self._blank = False


class _Block(Struct, frozen=True):
    type: str
    text: str | None = None
    thinking: str | None = None
    input: Raw = Raw(b"")


class _Answer(Struct, frozen=True):
    content: list[Raw] | None = None
    stop_reason: str | None = None
    usage: Raw | UnsetType = UNSET


_BLOCK = Lenient(_Block)
_ANSWER = Lenient(_Answer)
