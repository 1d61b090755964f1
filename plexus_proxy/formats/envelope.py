"""Opaque reasoning state on its way through a client of another format, and back.

An envelope is `gw1.` + base64url(JSON), or where a format takes nothing but base64, the base64 of
the same JSON. It stands where the client's format has a signature or encrypted text, so the client
replays it unread; only the provider that issued the state gets the state again, natively. An
envelope itself must never reach a provider.
"""

import base64
import binascii

import msgspec
from msgspec import Struct

from plexus_proxy.formats.events import Opaque, OpaqueKind

PREFIX = "gw1."
_VERSION = 1


class _Content(Struct, frozen=True, omit_defaults=True):
    v: int
    issuer: str
    kind: OpaqueKind
    model: str
    data: str
    item_id: str = ""


_encode = msgspec.json.Encoder().encode
_CONTENT = msgspec.json.Decoder(_Content)


def pack(opaque: Opaque) -> str:
    """The envelope of `opaque`; equal state gives equal text."""
    return PREFIX + base64.urlsafe_b64encode(_sealed(opaque)).decode().rstrip("=")


def unpack(text: str) -> Opaque | None:
    """What is in an envelope; None for anything else, however damaged."""
    return _opened(text[len(PREFIX) :]) if text.startswith(PREFIX) else None


def pack_base64(opaque: Opaque) -> str:
    """The envelope as plain base64, for fields that clients decode."""
    return base64.b64encode(_sealed(opaque)).decode()


def unpack_base64(text: str) -> Opaque | None:
    """What is in such an envelope, in either alphabet, padded or not; None for anything else."""
    return _opened(text.rstrip("=").replace("+", "-").replace("/", "_"))


def _sealed(opaque: Opaque) -> bytes:
    return _encode(
        _Content(_VERSION, opaque.issuer, opaque.kind, opaque.model, opaque.data, opaque.item_id)
    )


def _opened(text: str) -> Opaque | None:
    try:
        code = text.encode("ascii")
        padded = code + b"=" * (-len(code) % 4)
        content = _CONTENT.decode(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (UnicodeError, binascii.Error, msgspec.DecodeError, RecursionError):
        return None
    if content.v != _VERSION:
        return None
    return Opaque(content.kind, content.data, content.issuer, content.model, content.item_id)


def is_envelope(text: str) -> bool:
    """True for whatever carries our mark, readable or not: none of it may reach a provider."""
    return text.startswith(PREFIX)
