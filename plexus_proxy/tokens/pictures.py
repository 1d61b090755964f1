"""What a picture costs, by the formula its model's vendor publishes. Pure.

Sources: OpenAI documentation, "Images and vision", "Calculating costs"; Anthropic documentation,
"Vision", "Calculate image costs"; Google, "Gemini API: Understand and count tokens" and "Media
resolution". A model is known by the start of its name; an unknown one is counted as the newest or
the most common of its vendor.
"""

import math
import re
from typing import Literal

from msgspec import Struct

from plexus_proxy.tokens.dimensions import Size

Family = Literal["openai", "anthropic", "gemini"]

DEFAULT_SIZE = Size(1024, 1024)
"""Taken for a picture whose bytes we do not have (a URL, a file at the provider) or cannot read."""

_BY_FORMAT: dict[str, Family] = {"messages": "anthropic", "gemini": "gemini"}


def family_of(provider_format: str, model: str) -> Family:
    """Whose rules a model follows: its name tells, else the format it is spoken to in."""
    name = model.lower()
    if "claude" in name:
        return "anthropic"
    if "gemini" in name:
        return "gemini"
    if _slug(model).startswith(("gpt", "o1", "o3", "o4", "chatgpt")):
        return "openai"
    return _BY_FORMAT.get(provider_format, "openai")


def picture_tokens(family: Family, model: str, size: Size | None, detail: str | None) -> int:
    """`size` None: unknown. `detail` as OpenAI names it; Gemini's media resolution likewise."""
    known = size or DEFAULT_SIZE
    if family == "anthropic":
        return _anthropic(model, known)
    if family == "gemini":
        return _gemini(model, known, detail)
    return _openai(model, known, detail)


class _Tiles(Struct, frozen=True):
    """A base, and so much for each square of 512 pixels."""

    base: int
    tile: int


class _Patches(Struct, frozen=True):
    """So much for each square of 32 pixels."""

    multiplier: float


_OPENAI: tuple[tuple[str, _Tiles | _Patches], ...] = (
    ("gpt-4o-mini", _Tiles(2833, 5667)),
    ("gpt-4.1-mini", _Patches(1.62)),
    ("gpt-4.1-nano", _Patches(2.46)),
    ("gpt-5-mini", _Patches(1.62)),
    ("gpt-5-nano", _Patches(2.46)),
    ("gpt-5", _Tiles(70, 140)),
    ("o4-mini", _Patches(1.72)),
    ("o1", _Tiles(75, 150)),
    ("o3", _Tiles(75, 150)),
    ("computer-use-preview", _Tiles(65, 129)),
)
"""The first one that a name starts with counts."""
_GPT_4O = _Tiles(85, 170)
_MAX_SIDE = 2048
_SHORT_SIDE = 768
_TILE = 512
_LOW_SIDE = 512
_PATCH = 32
_MAX_PATCHES = 1536


def _slug(model: str) -> str:
    return model.lower().rpartition("/")[2]


def _openai(model: str, size: Size, detail: str | None) -> int:
    name = _slug(model)
    rule = next((rule for start, rule in _OPENAI if name.startswith(start)), _GPT_4O)
    if isinstance(rule, _Patches):
        return math.ceil(_patches(size, detail) * rule.multiplier)
    if detail == "low":
        return rule.base
    width, height = _within(size, _MAX_SIDE)
    scale = min(1.0, _SHORT_SIDE / min(width, height))
    return rule.base + rule.tile * _squares(width * scale, height * scale, _TILE)


def _patches(size: Size, detail: str | None) -> int:
    width, height = _within(size, _LOW_SIDE) if detail == "low" else (size.width, size.height)
    count = _squares(width, height, _PATCH)
    if count <= _MAX_PATCHES:
        return count
    shrink = math.sqrt(_PATCH**2 * _MAX_PATCHES / (width * height))
    across, down = width * shrink / _PATCH, height * shrink / _PATCH
    # Shrunk a little more, so that one side is a whole number of patches.
    shrink *= min(max(1, math.floor(across)) / across, max(1, math.floor(down)) / down)
    return min(_squares(width * shrink, height * shrink, _PATCH), _MAX_PATCHES)


_PIXELS_PER_TOKEN = 750
_EDGE, _MAX_TOKENS = 1568, 1600
_SHARP_EDGE, _SHARP_MAX_TOKENS = 2576, 4784
_SHARP = re.compile(r"claude-[a-z]+-(?:4[.-](?:[7-9]|\d\d)(?!\d)|[5-9](?!\d)|\d\d(?!\d))")
"""From version 4.7 on pictures are seen in more pixels."""


def _anthropic(model: str, size: Size) -> int:
    sharp = _SHARP.search(model.lower()) is not None
    edge, most = (_SHARP_EDGE, _SHARP_MAX_TOKENS) if sharp else (_EDGE, _MAX_TOKENS)
    width, height = _within(size, edge)
    return min(math.ceil(width * height / _PIXELS_PER_TOKEN), most)


_TILE_TOKENS = 258
_SMALL_SIDE = 384
_UNIT = 1.5
_MIN_UNIT, _MAX_UNIT = 256, 768
_GEMINI_VERSION = re.compile(r"gemini-(\d+)")
_RESOLUTIONS = {"low": 280, "medium": 560}
_RESOLUTION = 1120
_FIRST_RESOLUTIONS = 3
"""From version 3 on a picture has a budget by its resolution, whatever its size."""


def has_resolutions(model: str) -> bool:
    version = _GEMINI_VERSION.search(model.lower())
    return version is not None and int(version[1]) >= _FIRST_RESOLUTIONS


def _gemini(model: str, size: Size, detail: str | None) -> int:
    if has_resolutions(model):
        return _RESOLUTIONS.get(detail or "", _RESOLUTION)
    if size.width <= _SMALL_SIDE and size.height <= _SMALL_SIDE:
        return _TILE_TOKENS
    unit = math.floor(min(size.width, size.height) / _UNIT)
    return _TILE_TOKENS * _squares(size.width, size.height, min(max(unit, _MIN_UNIT), _MAX_UNIT))


def _within(size: Size, side: int) -> tuple[float, float]:
    """Shrunk, if need be, so that no side is longer."""
    scale = min(1.0, side / max(size.width, size.height))
    return size.width * scale, size.height * scale


def _squares(width: float, height: float, side: int) -> int:
    """How many squares cover an area; rounding errors add none."""
    return math.ceil(round(width / side, 6)) * math.ceil(round(height / side, 6))
