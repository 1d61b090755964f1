"""Data URLs and media types. Sources: RFC 2397; the magic numbers of each file format."""

import base64
import binascii
import urllib.parse

from msgspec import Struct

_MAGIC = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"%PDF-", "application/pdf"),
)
_SPELLINGS = {"image/jpg": "image/jpeg", "image/pjpeg": "image/jpeg", "image/x-png": "image/png"}
_HEAD_CHARS = 24


class Data(Struct, frozen=True):
    """Bytes in base64, and what they are said or seen to be ("" if nobody knows)."""

    media_type: str
    data: str


def parse_data_url(url: str) -> Data | None:
    """The content of a data URL, parameters such as charset ignored; None for other URLs."""
    if url[:5].lower() != "data:":
        return None
    head, comma, payload = url[5:].partition(",")
    if not comma:
        return None
    declared, *parameters = (each.strip().lower() for each in head.split(";"))
    if "base64" in parameters:
        data = urllib.parse.unquote(payload) if "%" in payload else payload
        data = "".join(data.split())
    else:
        data = base64.b64encode(urllib.parse.unquote_to_bytes(payload)).decode()
    return Data(media_type(declared, data), data)


def data_url(media_type: str, data: str) -> str:
    return f"data:{media_type};base64,{data}"


def media_type(declared: str, data: str) -> str:
    """What base64 `data` is: its magic number wins over what the client declared."""
    declared = declared.strip().lower()
    return _sniff(data) or _SPELLINGS.get(declared, declared)


def _sniff(data: str) -> str | None:
    try:
        head = base64.b64decode(data[:_HEAD_CHARS])
    except (binascii.Error, ValueError):
        return None
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "image/webp"
    return next((name for magic, name in _MAGIC if head.startswith(magic)), None)


def decoded_text(data: str) -> str | None:
    """Base64 data as text; None if it is none."""
    try:
        return base64.b64decode(data).decode()
    except (binascii.Error, ValueError):
        return None
