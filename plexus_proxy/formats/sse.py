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
        if self._has_cr or self._rest:
            self._rest += chunk
            frames, end = self._cut(self._rest)
            del self._rest[:end]
        else:
            frames, end = _cut_whole(chunk)
            if end < len(chunk):
                self._rest += chunk[end:]
        if len(self._rest) > MAX_FRAME_BYTES:
            raise Garbled("The provider's stream holds an event without an end.")
        return frames

    def _cut(self, buffer: bytearray) -> tuple[list[Frame], int]:
        """The complete frames and where what is left begins."""
        frames: list[Frame] = []
        start = 0
        at = self._searched
        if self._after_cr:  # the LF of a CR LF that was cut in two
            at = max(at, 1 if buffer.startswith(b"\n") else 0)
        while True:
            end = self._blank_line(buffer, at)
            if end < 0:
                break
            frames.append(_frame(bytes(buffer[start:end])))
            start = at = end
        if start:
            self._after_cr = start == len(buffer) and buffer.endswith(b"\r")
        # The blank line may have begun in what was searched: at most CR LF CR of it.
        self._searched = max(at - start, len(buffer) - start - 3, 0)
        return frames, start

    def _blank_line(self, buffer: bytearray, at: int) -> int:
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


def _cut_whole(chunk: bytes) -> tuple[list[Frame], int]:
    """The frames of a chunk without CR that begins with a record, and where what is left begins:
    nearly all chunks are like this, and hold whole records only."""
    frames: list[Frame] = []
    start = 0
    while (end := chunk.find(b"\n\n", start) + 2) > 1:
        frames.append(_frame(chunk[start:end]))
        start = end
    return frames, start


def _frame(raw: bytes) -> Frame:
    data_at = raw.find(b"\n") + 1 if raw.startswith(b"event: ") else 0
    if (
        raw.startswith(b"data: ", data_at)
        and raw.find(b"\n", data_at) == len(raw) - 2
        and b"\r" not in raw
    ):  # what nearly all records look like
        name = raw[7 : data_at - 1].decode(errors="replace") if data_at else ""
        return Frame(name, _text(raw[data_at + 6 : -2]), raw)
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
    if data.isascii():
        return data
    try:
        data.decode()
    except UnicodeDecodeError:
        return data.decode(errors="replace").encode()
    return data
