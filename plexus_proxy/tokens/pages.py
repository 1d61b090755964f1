"""What documents and recordings cost: pages and seconds, as far as a look at the file tells. Pure.

Sources: Anthropic documentation, "PDF support", "Estimate your costs" (1,500 to 3,000 tokens a
page, and each page as a picture besides); Google, "Document understanding" (258 a page; from
Gemini 3 on 560) and "Audio understanding" (32 a second); OpenAI, "Realtime costs" (10 a second).
"""

import binascii
import math
import re
from collections.abc import Iterator
from itertools import islice

from plexus_proxy.tokens.pictures import Family, has_resolutions

DEFAULT_PAGES = 5
"""Of a document whose bytes we do not have: a URL, a file at the provider."""
_BYTES_PER_PAGE = 50_000
"""Where the pages cannot be seen, because the file packs its objects."""
_MAX_PAGES = 1000
"""More than any provider takes: a file that says more is not believed."""
_LOOK_BYTES = 768 * 1024
"""So much of both ends of a file is looked at: it need not be unpacked whole, and says it there."""
_PAGE_TREE = re.compile(rb"/Type\s{0,8}/Pages\b")
_COUNT = re.compile(rb"/Count\s{1,8}(\d{1,6})(?!\d)")
_NEAR_BYTES = 400
"""A tree's count stands in the same dictionary."""
_MAX_TREES = 1000
_PAGE = re.compile(rb"/Type\s*/Page\b")

_TEXT_TOKENS_PER_PAGE = 1500
_PICTURE_TOKENS_PER_PAGE = 1500
_GEMINI_PAGE = 258
_GEMINI_3_PAGE = 560

_BYTES_PER_S = 16_000
"""Of what is compressed: 128 kbit/s."""
_WAV_RATE = slice(28, 32)
_MIN_WAV_BYTES_PER_S = 1000
"""Less is no recording: the header is cut or damaged."""
_AUDIO_TOKENS_PER_S: dict[Family, int] = {"openai": 10, "anthropic": 10, "gemini": 32}


def document_tokens(family: Family, model: str, pages: int) -> int:
    if family == "gemini":
        return pages * (_GEMINI_3_PAGE if has_resolutions(model) else _GEMINI_PAGE)
    return pages * (_TEXT_TOKENS_PER_PAGE + _PICTURE_TOKENS_PER_PAGE)


def pages_in(data: str) -> int:
    """Of a file in base64; at least 1."""
    size = bytes_in(data)
    head, tail = _ends(data)
    if counts := list(_tree_counts(head + b"\n" + tail)):
        return max(counts)
    if seen := len(_PAGE.findall(head)) + len(_PAGE.findall(tail)):
        return min(seen, _MAX_PAGES)
    return min(max(1, math.ceil(size / _BYTES_PER_PAGE)), _MAX_PAGES)


def _tree_counts(ends: bytes) -> Iterator[int]:
    for tree in islice(_PAGE_TREE.finditer(ends), _MAX_TREES):
        near = ends[max(0, tree.start() - _NEAR_BYTES) : tree.end() + _NEAR_BYTES]
        for found in _COUNT.finditer(near):
            if 0 < (count := int(found[1])) <= _MAX_PAGES:
                yield count


def audio_tokens(family: Family, data: str, format: str) -> int:
    """Of a recording in base64."""
    rate = int.from_bytes(_decoded(data[:64])[_WAV_RATE], "little") if format == "wav" else 0
    if rate < _MIN_WAV_BYTES_PER_S:
        rate = _BYTES_PER_S
    return math.ceil(bytes_in(data) / rate * _AUDIO_TOKENS_PER_S[family])


def bytes_in(data: str) -> int:
    """How many bytes a text in base64 holds."""
    return len(data) * 3 // 4 - data[-2:].count("=")


def _ends(data: str) -> tuple[bytes, bytes]:
    """Both ends of a file, without overlap."""
    chars = _LOOK_BYTES // 3 * 4
    if len(data) <= 2 * chars:
        return _decoded(data), b""
    return _decoded(data[:chars]), _decoded(data[-chars - len(data) % 4 :])


def _decoded(data: str) -> bytes:
    try:
        return binascii.a2b_base64(data)
    except (binascii.Error, ValueError):
        return b""
