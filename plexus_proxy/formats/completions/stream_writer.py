"""Canonical events → a stream of legacy completions.

Start opens with a chunk of its own, empty or the prompt to be repeated; each piece of text is a
chunk at once, but for what may be a fence around the text for a gap. Reasoning is no part of the
text: while it lasts, comments keep the connection open. Finish brings the finish chunk, the usage
chunk for clients that asked for it, and [DONE].

Source: OpenAI API reference, "The completion object", streamed.
"""

from collections.abc import Callable

import msgspec

from plexus_proxy.formats.chat.stream_writer import DONE, KEEPALIVE, stream_error
from plexus_proxy.formats.chat.usage import write_usage
from plexus_proxy.formats.completions.fence import Unfenced
from plexus_proxy.formats.completions.response import identity_of, kept_of
from plexus_proxy.formats.completions.types import REASONS
from plexus_proxy.formats.conversation import Crossing
from plexus_proxy.formats.events import (
    Event,
    Failure,
    Finish,
    ReasoningDelta,
    Start,
    TextDelta,
    ToolInputDelta,
    Usage,
    UsageUpdate,
)
from plexus_proxy.formats.fold import estimated

_encode = msgspec.json.Encoder().encode
_NULL = b"null"


class CompletionsWriter:
    """See Writer."""

    __slots__ = ("_crossing", "_fences", "_identity", "_kept", "_output_chars", "_tail", "_usage")

    def __init__(self, crossing: Crossing) -> None:
        self._crossing = crossing
        self._kept = kept_of(crossing)
        self._fences = Unfenced() if self._kept.unfence else None
        self._identity = b""
        """The start of every chunk."""
        self._tail = b',"usage":null}\n\n' if crossing.include_usage else b"}\n\n"
        self._output_chars = 0
        self._usage: Usage | None = None

    def feed(self, event: Event) -> bytes:
        write = self._WRITE.get(type(event))
        return write(self, event) if write is not None else b""

    def _chunk(self, text: str, finish_reason: bytes = _NULL) -> bytes:
        return b'%b"choices":[{"text":%b,"index":0,"logprobs":null,"finish_reason":%b}]%b' % (
            self._identity,
            _encode(text),
            finish_reason,
            self._tail,
        )

    def _start(self, event: Start) -> bytes:
        self._usage = event.usage
        self._identity = b"data: %b," % _encode(identity_of(self._crossing, event.model))[:-1]
        return self._chunk(self._kept.repeated)

    def _text(self, event: TextDelta) -> bytes:
        text = event.text
        self._output_chars += len(text)
        if self._fences is not None:
            text = self._fences.feed(text)
            if not text:
                return b""
        return self._chunk(text)

    def _rest(self) -> bytes:
        """What was held back and is no fence."""
        text = self._fences.close() if self._fences is not None else ""
        return self._chunk(text) if text else b""

    def _reasoning(self, event: ReasoningDelta) -> bytes:
        self._output_chars += len(event.text)
        return KEEPALIVE

    def _input(self, event: ToolInputDelta) -> bytes:
        self._output_chars += len(event.text)
        return b""

    def _usage_update(self, event: UsageUpdate) -> bytes:
        self._usage = event.usage
        return b""

    def _finish(self, event: Finish) -> bytes:
        finish = self._rest() + self._chunk("", _encode(REASONS[event.reason]))
        if not self._crossing.include_usage:
            return finish + DONE
        usage = write_usage(self._usage or estimated(self._output_chars, self._crossing))
        told = b'%b"choices":[],"usage":%b}\n\n' % (self._identity, _encode(usage))
        return finish + told + DONE

    def _failure(self, event: Failure) -> bytes:
        return self._rest() + stream_error(event.error)

    _WRITE: dict[type[Event], Callable[..., bytes]] = {  # noqa: RUF012 - never changed
        Start: _start,
        TextDelta: _text,
        ReasoningDelta: _reasoning,
        ToolInputDelta: _input,
        UsageUpdate: _usage_update,
        Finish: _finish,
        Failure: _failure,
    }
