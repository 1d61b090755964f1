"""What a usage row and the commit point need of a Gemini answer."""

import msgspec

from plexus_proxy.errors import Garbled, Refused, UpstreamFault
from plexus_proxy.formats.emptiness import counts_as_empty
from plexus_proxy.formats.events import Usage
from plexus_proxy.formats.gemini import answers
from plexus_proxy.formats.gemini.errors import read_error
from plexus_proxy.formats.gemini.reasons import UNSPECIFIED, read_reason
from plexus_proxy.formats.gemini.usage import WireUsage, merge_usage, read_usage
from plexus_proxy.formats.sse import Frame


def is_usage_only(frame: Frame) -> bool:
    """See Format.is_usage_only: there is no such chunk."""
    return False


class GeminiObserver:
    """See Observer. Complete, and at its end, with a finish reason or a refused prompt: nothing
    else marks the last chunk. An answer that went wrong before it said anything is a failure, so
    that another provider may be asked."""

    __slots__ = (
        "_blank",
        "_has_output",
        "_usage",
        "committed",
        "complete",
        "ended",
        "failure",
        "finish_reason",
        "output_chars",
        "tool_calls",
    )
    kept_id = None

    def __init__(self) -> None:
        self._blank = True
        self._has_output = False
        self._usage: WireUsage | None = None
        self.finish_reason: str | None = None
        self.tool_calls = 0
        self.output_chars = 0
        self.committed = False
        self.complete = False
        self.ended = False
        self.failure: UpstreamFault | None = None

    @property
    def usage(self) -> Usage | None:
        return None if self._usage is None else read_usage(self._usage)

    @property
    def empty(self) -> bool:
        return (
            self._blank
            and self.complete
            and self.finish_reason in (None, "STOP")
            and counts_as_empty(self.usage)
        )

    def frame(self, frame: Frame) -> None:
        if not frame.data:
            return
        try:
            chunk = answers.read_chunk(frame.data)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return
        if chunk is None:
            return
        if chunk.is_error:
            self.failure = read_error(200, {}, frame.data, in_stream=True)
        else:
            self._chunk(chunk)

    def body(self, body: bytes) -> None:
        chunk = answers.read_whole(body)
        error = answers.error_of_whole(chunk, body)
        if isinstance(error, Garbled):
            raise error
        if error is not None:
            self.failure = error
            return
        self._chunk(chunk)
        if self.failure is None:
            self.committed = self.complete = self.ended = True

    def _chunk(self, chunk: answers.Chunk) -> None:
        if (told := chunk.usage_metadata) is not None:
            self._usage = told if self._usage is None else merge_usage(self._usage, told)
        for candidate in chunk.candidates or ():
            self._candidate(candidate)
        if chunk.block_reason:
            self._end(chunk.block_reason)

    def _candidate(self, candidate: answers.Candidate) -> None:
        content = candidate.content
        if content is not None and content.parts:
            for part in content.parts:
                self._part(part)
        word = candidate.finish_reason
        if candidate.index or not word or word == UNSPECIFIED:
            return
        reason = read_reason(word, has_output=self._has_output, message=candidate.finish_message)
        if isinstance(reason, Refused):
            self.finish_reason = word
            self.failure = reason
        else:
            self._end(word)

    def _part(self, part: answers.Part) -> None:
        if part.text:
            self.output_chars += len(part.text)
        elif part.is_empty:
            return
        if not self._blank or part.says_something:
            self._blank = False
            self.committed = True
        self._has_output = self._has_output or part.is_output
        if part.function_call is not None:
            self.tool_calls += 1
            self.output_chars += len(answers.argument_text(part.function_call))

    def _end(self, word: str) -> None:
        self.finish_reason = word
        self.committed = self.complete = self.ended = True
