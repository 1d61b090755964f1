"""Server-sent events: bytes → frames. Source: WHATWG HTML, "9.2.6 Interpreting an event stream"."""

import re

from msgspec import Struct

from plexus_proxy.errors import Garbled

MAX_FRAME_BYTES = 64 * 1024 * 1024
"""Longer records are taken for a broken stream; whole images fit."""

_BLANK_LINE = re.compile(rb"(?>\r\n|\r|\n){2}")
_LINE_END = re.compile(rb"\r\n|\r|\n")
_BOM = b"\xef\xbb\xbf"


class Frame(Struct, frozen=True, gc=False):
    """One SSE record.

    `data` joins the data lines by a newline, bytes that are no UTF-8 replaced; `raw` is the very
    bytes of the record with the blank line that ended it (and any comments before it), so that
    frames joined again are the stream.
    A record without data (comments, a lone `event:`) has `data == b""`.
    """

    event: str
    data: bytes
    raw: bytes


class Framer:
    """Cuts a stream into frames as soon as the blank line that ends one has arrived.

    Chunks may be cut anywhere, also between CR and LF: a frame is not held back to see whether the
    LF follows, it then opens the next frame's raw bytes and means nothing there.
    """

    __slots__ = ("_after_cr", "_has_cr", "_rest", "_searched")

    def __init__(self) -> None:
        self._rest = bytearray()
        self._searched = 0
        self._has_cr = False
        self._after_cr = False

    def feed(self, chunk: bytes) -> list[Frame]:
        """Raises Garbled if a record does not end within MAX_FRAME_BYTES."""
        self._has_cr = self._has_cr or b"\r" in chunk
        frames: list[Frame] = []
        if self._rest or self._after_cr:
            chunk = self._finish(chunk, frames)
        if chunk:
            start = self._cut(chunk, frames)
            if start < len(chunk):
                self._rest += chunk[start:]
            elif self._has_cr:
                self._after_cr = chunk.endswith(b"\r")
        if len(self._rest) > MAX_FRAME_BYTES:
            raise Garbled("The provider's stream holds an event without an end.")
        return frames

    def _finish(self, chunk: bytes, frames: list[Frame]) -> bytes:
        """The frame that has begun, if the chunk ends it, and what the chunk holds beyond."""
        buffer = self._rest
        buffer += chunk
        at = self._searched
        if self._after_cr:  # the LF of a CR LF that was cut in two
            at = max(at, 1 if buffer.startswith(b"\n") else 0)
        end = self._blank_line(buffer, at)
        if end < 0:
            # The blank line may have begun in what was searched: at most CR LF CR of it.
            self._searched = max(at, len(buffer) - 3)
            return b""
        raw = bytes(buffer[:end])
        left = bytes(buffer[end:])
        frames.append(_usual(raw, 0, has_cr=self._has_cr) or _frame(raw))
        buffer.clear()
        self._searched = 0
        self._after_cr = not left and raw.endswith(b"\r")
        return left

    def _cut(self, chunk: bytes, frames: list[Frame]) -> int:
        """The frames of a chunk that begins with a record; gives where what is left begins."""
        start, has_cr = 0, self._has_cr
        while start < len(chunk):
            frame = _usual(chunk, start, has_cr=has_cr)
            if frame is None:
                end = self._blank_line(chunk, start)
                if end < 0:
                    break
                frame = _frame(chunk[start:end])
            frames.append(frame)
            start += len(frame.raw)
        return start

    def _blank_line(self, buffer: bytes | bytearray, at: int) -> int:
        """Where the next blank line ends, or -1."""
        if not self._has_cr:
            found = buffer.find(b"\n\n", at)
            return found + 2 if found >= 0 else -1
        match = _BLANK_LINE.search(buffer, at)
        return match.end() if match else -1

    def close(self) -> list[Frame]:
        """What came after the last blank line, if anything did."""
        rest = bytes(self._rest)
        self._rest = bytearray()
        return [_frame(rest)] if rest else []


def _usual(chunk: bytes, start: int, *, has_cr: bool) -> Frame | None:
    """The record that begins at `start`, if it is like nearly all: one line of data, some with a
    line before it that names the event, and all lines end with LF, or all with CR LF. None if it
    is another one, or not whole."""
    line, event = start, b""
    end = chunk.find(b"\n", line)
    if chunk.startswith(b"event: ", line):
        if end < 0 or (has_cr and chunk.find(b"\r", line, end) != end - 1):
            return None
        event = chunk[line + 7 : end - has_cr]
        line = end + 1
        end = chunk.find(b"\n", line)
    if end < 0 or not chunk.startswith(b"data: ", line):
        return None
    if not has_cr:
        if not chunk.startswith(b"\n", end + 1):
            return None
        data, stop = chunk[line + 6 : end], end + 2
    elif chunk.find(b"\r", line, end) == end - 1 and chunk.startswith(b"\r\n", end + 1):
        data, stop = chunk[line + 6 : end - 1], end + 3
    else:
        return None
    name = event.decode(errors="replace") if event else ""
    return Frame(name, data if data.isascii() else _text(data), chunk[start:stop])


def _frame(raw: bytes) -> Frame:
    event = b""
    data: list[bytes] = []
    for line in _LINE_END.split(raw.removeprefix(_BOM)):
        name, _, value = line.partition(b":")
        if name == b"data":
            data.append(value.removeprefix(b" "))
        elif name == b"event":
            event = value.removeprefix(b" ")
    return Frame(event.decode(errors="replace"), _text(b"\n".join(data)), raw)


def _text(data: bytes) -> bytes:
    """UTF-8, whatever it was."""
    try:
        data.decode()
    except UnicodeDecodeError:
        return data.decode(errors="replace").encode()
    return data
