"""What a usage row and the commit point need of a Responses answer."""

import msgspec

from plexus_proxy.errors import Refused, UpstreamFault
from plexus_proxy.formats.emptiness import counts_as_empty
from plexus_proxy.formats.events import Usage
from plexus_proxy.formats.lenient import Lenient
from plexus_proxy.formats.refusals import error_of_answer, read_refusal
from plexus_proxy.formats.responses import events as wire
from plexus_proxy.formats.responses.usage import known_usage
from plexus_proxy.formats.sse import Frame

_SPOKEN = ("message", "reasoning")
"""Items that hold nothing until a delta comes."""
CALLS = ("function_call", "custom_tool_call")
_RESPONSE = Lenient(wire.Response)


class ResponsesObserver:
    """See Observer. Complete with response.completed or response.incomplete."""

    __slots__ = (
        "_blank",
        "committed",
        "complete",
        "ended",
        "failure",
        "finish_reason",
        "kept_id",
        "output_chars",
        "tool_calls",
        "usage",
    )

    def __init__(self) -> None:
        self._blank = True
        self.usage: Usage | None = None
        self.finish_reason: str | None = None
        self.kept_id: str | None = None
        self.output_chars = 0
        self.tool_calls = 0
        self.committed = False
        self.complete = False
        self.ended = False
        self.failure: UpstreamFault | None = None

    @property
    def empty(self) -> bool:
        return (
            self._blank
            and self.complete
            and self.finish_reason in (None, "completed")
            and counts_as_empty(self.usage)
        )

    def frame(self, frame: Frame) -> None:
        if not frame.data:
            return
        try:
            event = wire.read_event(frame.data)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return
        if event is None:
            return
        kind = event.type
        if event.response is not None:
            self._name(event.response)
        if event.delta:
            self.output_chars += len(event.delta)
            if self._blank and event.delta.strip():
                self._blank = False
                self.committed = True
        elif kind == "response.output_item.added":
            if event.item is not None and event.item.type in CALLS:
                self.tool_calls += 1
                self._blank = False
                self.committed = True
        elif kind in wire.TERMINAL:
            self._end(event.response or wire.Response())
        elif kind in wire.FAILED or (not kind and b'"error"' in frame.data):
            self.failure = read_refusal(200, {}, frame.data, in_stream=True)
            if event.response is not None:
                self.usage = known_usage(event.response.usage)

    def _name(self, response: wire.Response) -> None:
        if bytes(response.store) != b"false":
            self.kept_id = response.id

    def _end(self, response: wire.Response) -> None:
        self.committed = self.complete = self.ended = True
        incomplete = response.incomplete_details
        self.finish_reason = (incomplete and incomplete.reason) or response.status
        self.usage = known_usage(response.usage)
        output = response.output or ()
        calls = sum(item.type in CALLS for item in output)
        self.tool_calls = max(self.tool_calls, calls)
        if not self.output_chars:
            self.output_chars = sum(map(_chars, output))
        self._blank = self._blank and not any(map(_says_something, output))

    def body(self, body: bytes) -> None:
        response = _RESPONSE.answer(body)
        if response.output is None or response.status in ("failed", "cancelled"):
            error = error_of_answer(body)
            if not isinstance(error, Refused):
                raise error
            self.failure = error
            self.usage = known_usage(response.usage)
            return
        self._name(response)
        self._end(response)


def _says_something(item: wire.Item) -> bool:
    if item.type not in _SPOKEN:
        return True
    pieces = (*(item.content or ()), *(item.summary or ()))
    return any((piece.text or piece.refusal or "").strip() for piece in pieces)


def _chars(item: wire.Item) -> int:
    pieces = (*(item.content or ()), *(item.summary or ()))
    return len(item.arguments or item.input or "") + sum(
        len(piece.text or piece.refusal or "") for piece in pieces
    )
