"""Opaque reasoning state on its way through a client of another format, and back.

An envelope is `gw1.` + base64url(JSON). It stands where the client's format has a signature or
encrypted text, so the client replays it unread; only the provider that issued the state gets the
state again, natively. An envelope itself must never reach a provider.

Gemini's clients want base64 where a signature stands: for them it is the base64 of the same JSON,
known by how that JSON begins.
"""

import base64
import binascii
import re

import msgspec
from msgspec import Struct

from plexus_proxy.formats.events import Opaque, OpaqueKind

PREFIX = "gw1."
BASE64_PREFIX = base64.b64encode(b'{"v":1,"issuer"').decode()
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
_URL_SAFE = bytes.maketrans(b"+/", b"-_")
_STANDARD = str.maketrans("-_", "+/")
_BEGIN_CHARS = 256
_ISSUER = re.compile(rb'\{"v":1,"issuer":("(?:[^"\\]|\\.)*")')


def pack(opaque: Opaque) -> str:
    """The envelope of `opaque`; equal state gives equal text. State without an issuer is on its
    way to a client of the issuer's own format, and goes as it is."""
    if not opaque.issuer:
        return opaque.data
    return PREFIX + base64.urlsafe_b64encode(_content(opaque)).decode().rstrip("=")


def pack_base64(opaque: Opaque) -> str:
    """The envelope of `opaque` as base64 alone; likewise."""
    if not opaque.issuer:
        return opaque.data
    return base64.b64encode(_content(opaque)).decode()


def unpack(text: str) -> Opaque | None:
    """What is in an envelope; None for anything else, however damaged."""
    return _opaque(text[len(PREFIX) :]) if is_envelope(text) else None


def unpack_base64(text: str) -> Opaque | None:
    """What is in an envelope of base64 alone, in either alphabet; None for anything else."""
    return _opaque(text) if is_base64_envelope(text) else None


def issuer(text: str) -> str | None:
    """Whose state is in an envelope of either kind, read from its beginning alone; None for
    anything else."""
    code = text.removeprefix(PREFIX)
    if code is text and not is_base64_envelope(text):
        return None
    begin = code[:_BEGIN_CHARS].translate(_STANDARD)
    try:
        content = base64.b64decode(begin[: len(begin) // 4 * 4], validate=True)
    except (ValueError, binascii.Error):
        return None
    if found := _ISSUER.match(content):
        try:
            return msgspec.json.decode(found[1], type=str)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None
    opaque = unpack(text) or unpack_base64(text)
    return opaque.issuer if opaque is not None else None


def is_envelope(text: str) -> bool:
    """True for whatever carries our mark, readable or not: none of it may reach a provider."""
    return text.startswith(PREFIX)


def is_base64_envelope(text: str) -> bool:
    """The same of envelopes of base64 alone."""
    return text.startswith(BASE64_PREFIX)


def _content(opaque: Opaque) -> bytes:
    return _encode(
        _Content(_VERSION, opaque.issuer, opaque.kind, opaque.model, opaque.data, opaque.item_id)
    )


def _opaque(text: str) -> Opaque | None:
    try:
        code = text.rstrip("=").encode("ascii").translate(_URL_SAFE)
        padded = code + b"=" * (-len(code) % 4)
        content = _CONTENT.decode(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (UnicodeError, binascii.Error, msgspec.DecodeError, RecursionError):
        return None
    if content.v != _VERSION:
        return None
    return Opaque(content.kind, content.data, content.issuer, content.model, content.item_id)
