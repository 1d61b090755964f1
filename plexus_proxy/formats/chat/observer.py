"""What a usage row and the commit point need of a Chat Completions answer."""

import re

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from plexus_proxy.errors import Refused, UpstreamFault
from plexus_proxy.formats.chat import chunks
from plexus_proxy.formats.chat.errors import error_of_choice, read_error
from plexus_proxy.formats.chat.reasoning import read_reasoning
from plexus_proxy.formats.chat.reasons import ERROR
from plexus_proxy.formats.chat.usage import known_usage, read_usage
from plexus_proxy.formats.emptiness import counts_as_empty
from plexus_proxy.formats.events import Usage
from plexus_proxy.formats.lenient import Lenient
from plexus_proxy.formats.refusals import error_of_answer
from plexus_proxy.formats.sse import Frame

_USAGE = re.compile(rb'"usage"\s*:\s*\{')
_EMPTY_CHOICES = re.compile(rb'"choices"\s*:\s*\[\s*\]')
_BLANK_TEXT = re.compile(rb'(?:"(?:\s|\\[nrtf])*"|\[\s*\])')
"""JSON of a text, or a list, that says nothing."""
_NULL = b"null"
_QUOTES = 2


def is_usage_only(frame: Frame) -> bool:
    """See Format.is_usage_only."""
    data = frame.data
    return _USAGE.search(data) is not None and _EMPTY_CHOICES.search(data) is not None


class ChatObserver:
    """See Observer. Complete with a finish reason: many servers forget [DONE]."""

    __slots__ = (
        "_blank",
        "_calls",
        "_has_thoughts",
        "committed",
        "complete",
        "ended",
        "failure",
        "finish_reason",
        "output_chars",
        "usage",
    )
    kept_id = None

    def __init__(self) -> None:
        self._blank = True
        self._calls: set[tuple[int, int | str]] = set()
        self._has_thoughts = False
        """Reasoning has come as plain text; what reasoning_details say is a repetition."""
        self.usage: Usage | None = None
        self.finish_reason: str | None = None
        self.output_chars = 0
        self.committed = False
        self.complete = False
        self.ended = False
        self.failure: UpstreamFault | None = None

    @property
    def tool_calls(self) -> int:
        return len(self._calls)

    @property
    def empty(self) -> bool:
        return (
            self._blank
            and self.complete
            and self.finish_reason in (None, "stop")
            and counts_as_empty(self.usage)
        )

    def frame(self, frame: Frame) -> None:
        data = frame.data
        if data == chunks.DONE:
            self.ended = True
            if self.committed:
                self.complete = True
            return
        if not data:
            return
        try:
            chunk = chunks.read_chunk(data)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return
        if chunk is None:
            return
        if chunks.is_error(chunk, frame):
            self.failure = read_error(200, {}, data, in_stream=True)
            return
        for choice in chunk.choices or ():
            if choice.delta is not None:
                self._delta(choice.index or 0, choice.delta)
            if choice.finish_reason == ERROR:
                self.failure = error_of_choice(choice.error, in_stream=True)
            elif choice.finish_reason:
                self.committed = self.complete = True
                if not choice.index:
                    self.finish_reason = choice.finish_reason
        if (usage := chunks.usage_of(chunk)) is not None:
            self.usage = read_usage(usage)

    def _delta(self, choice: int, delta: chunks.Delta) -> None:
        content = delta.content
        text = content if isinstance(content, str) else chunks.text_of(content)
        chars = len(text)
        if delta.refusal:
            chars += len(delta.refusal)
        chars += self._reasoning_chars(delta)
        for call in delta.tool_calls or ():
            if call.index is not None:
                self._calls.add((choice, call.index))
            elif call.id or not self._calls:  # else it continues the last
                self._calls.add((choice, call.id or ""))
            chars += _call_chars(call)
        if delta.function_call is not None:
            self._calls.add((choice, "function"))
            chars += len(chunks.argument_text(delta.function_call.arguments))
        self.output_chars += chars
        if self._blank and (self._calls or chars > len(text) or text.strip()):
            self._blank = False
            self.committed = True

    def _reasoning_chars(self, delta: chunks.Delta) -> int:
        """Length of the reasoning text as written, whichever spelling holds it."""
        if delta.reasoning_content is delta.reasoning is delta.reasoning_details is UNSET:
            return 0
        for text in (delta.reasoning_content, delta.reasoning):
            if text is not UNSET and len(text) > _QUOTES and bytes(text).startswith(b'"'):
                self._has_thoughts = True
                return len(text) - _QUOTES
        if self._has_thoughts or delta.reasoning_details is UNSET:
            return 0
        return sum(len(part.text) for part in read_reasoning(delta))

    def body(self, body: bytes) -> None:
        answer = _ANSWER.answer(body)
        if not answer.choices:
            error = error_of_answer(body)
            if not isinstance(error, Refused):
                raise error
            self.failure = error
            return
        self.committed = self.complete = self.ended = True
        for number, each in enumerate(answer.choices):
            choice = _CHOICE.known(each)
            if choice is None:
                continue
            if choice.finish_reason == ERROR:
                self.failure = error_of_choice(choice.error)
            if not number:
                self.finish_reason = choice.finish_reason
            if choice.message is not None:
                self._message(number, choice.message)
        self.usage = known_usage(answer.usage)
        self._blank = self._blank and not self._calls

    def _message(self, choice: int, message: "_Message") -> None:
        for number, call in enumerate(message.tool_calls or ()):
            self._calls.add((choice, number))
            self.output_chars += len(call)
        if message.function_call is not None:
            self._calls.add((choice, "function"))
        for text in (message.content, message.reasoning_content, message.reasoning):
            if text is not UNSET and bytes(text) != _NULL:
                self.output_chars += max(0, len(text) - _QUOTES)
                self._blank = self._blank and _BLANK_TEXT.fullmatch(text) is not None
        if message.refusal is not UNSET and bytes(message.refusal) != _NULL:
            self._blank = False


def _call_chars(call: chunks.ToolCall) -> int:
    if call.function is not None:
        return len(chunks.argument_text(call.function.arguments))
    return len(call.custom.input or "") if call.custom is not None else 0


class _Message(Struct, frozen=True):
    """Of a whole answer; only lengths are of interest."""

    content: Raw | UnsetType = UNSET
    reasoning_content: Raw | UnsetType = UNSET
    reasoning: Raw | UnsetType = UNSET
    refusal: Raw | UnsetType = UNSET
    tool_calls: list[Raw] | None = None
    function_call: chunks.Function | None = None


class _WholeChoice(Struct, frozen=True):
    message: _Message | None = None
    finish_reason: str | None = None
    error: Raw | UnsetType = UNSET
    """ext: beside the finish reason "error"."""


class _Answer(Struct, frozen=True):
    choices: list[Raw] | None = None
    usage: Raw | UnsetType = UNSET


_CHOICE = Lenient(_WholeChoice)
_ANSWER = Lenient(_Answer)
