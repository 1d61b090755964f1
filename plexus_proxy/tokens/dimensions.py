"""Width and height of a picture, read from the head of its file. Pure.

Sources: PNG (third edition) §11.2.1; GIF89a §18; ITU-T T.81 (JPEG) B.2.2; RFC 9649 (WebP).
"""

import binascii

from msgspec import Struct

_HEAD_CHARS = 512 * 1024
"""Of base64: a JPEG's size stands behind its thumbnail and its colour profile."""
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_ALONE = frozenset((0x01, *range(0xD0, 0xD9)))
"""Markers without a length."""


class Size(Struct, frozen=True, gc=False):
    """In pixels; both at least 1."""

    width: int
    height: int


def size_in(data: str) -> Size | None:
    """Of a picture in base64; None if it is of no kind we know, or damaged."""
    try:
        head = binascii.a2b_base64(data[:_HEAD_CHARS])
    except (binascii.Error, ValueError):
        return None
    return size_of(head)


def size_of(head: bytes) -> Size | None:
    """Of a file that starts with `head`."""
    try:
        if head.startswith(b"\x89PNG\r\n\x1a\n"):
            return _size(_big(head, 16, 4), _big(head, 20, 4))
        if head.startswith((b"GIF87a", b"GIF89a")):
            return _size(_little(head, 6, 2), _little(head, 8, 2))
        if head.startswith(b"\xff\xd8"):
            return _of_jpeg(head)
        if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
            return _of_webp(head)
    except IndexError:
        pass  # it ends too soon
    return None


def _of_jpeg(head: bytes) -> Size | None:
    at = 2
    while head[at] == 0xFF:
        marker = head[at + 1]
        if marker == 0xFF:  # padding
            at += 1
        elif marker in _JPEG_FRAMES:
            return _size(_big(head, at + 7, 2), _big(head, at + 5, 2))
        elif marker in _JPEG_ALONE:
            at += 2
        else:
            at += 2 + _big(head, at + 2, 2)
    return None


def _of_webp(head: bytes) -> Size | None:
    kind = head[12:16]
    if kind == b"VP8 ":
        return _size(_little(head, 26, 2) & 0x3FFF, _little(head, 28, 2) & 0x3FFF)
    if kind == b"VP8L":
        bits = _little(head, 21, 4)
        return _size((bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1)
    if kind == b"VP8X":
        return _size(_little(head, 24, 3) + 1, _little(head, 27, 3) + 1)
    return None


def _size(width: int, height: int) -> Size | None:
    return Size(width, height) if width and height else None


def _big(head: bytes, at: int, count: int) -> int:
    return int.from_bytes(_piece(head, at, count), "big")


def _little(head: bytes, at: int, count: int) -> int:
    return int.from_bytes(_piece(head, at, count), "little")


def _piece(head: bytes, at: int, count: int) -> bytes:
    """Raises IndexError."""
    piece = head[at : at + count]
    if len(piece) < count:
        raise IndexError(at)
    return piece
