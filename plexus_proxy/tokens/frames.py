"""What is said between the gateway and its helper process: MessagePack frames, each behind its
length in four bytes. Pure."""

import struct

import msgspec
from msgspec import Struct

_LENGTH = struct.Struct(">I")
LENGTH_BYTES = _LENGTH.size
MAX_FRAME_BYTES = 256 * 1024 * 1024
"""Longer ones are not believed: the other side has lost its place."""


class Ask(Struct, frozen=True, gc=False, array_like=True):
    """How many tokens are these texts, all together?"""

    id: int
    texts: list[str]


class Told(Struct, frozen=True, gc=False, array_like=True):
    """The answer to the Ask with the same id. The one with id 0 says that the helper is ready."""

    id: int
    tokens: int


READY = Told(0, 0)
_encode = msgspec.msgpack.Encoder().encode
decode_ask = msgspec.msgpack.Decoder(Ask).decode
decode_told = msgspec.msgpack.Decoder(Told).decode


def framed(message: Ask | Told) -> bytes:
    body = _encode(message)
    return _LENGTH.pack(len(body)) + body


def length_in(head: bytes) -> int:
    """Bytes of the frame behind `head`. Raises ValueError."""
    (length,) = _LENGTH.unpack(head)
    if length > MAX_FRAME_BYTES:
        raise ValueError(f"a frame of {length} bytes")
    return length
