"""Vendors' published formulas, by their own examples; sizes from the heads of real files."""

import base64
import struct
import zlib

import pytest

from plexus_proxy.tokens.dimensions import Size, size_in, size_of
from plexus_proxy.tokens.pictures import DEFAULT_SIZE, Family, family_of, picture_tokens


@pytest.mark.parametrize(
    ("model", "size", "detail", "tokens"),
    [
        # OpenAI documentation, "Calculating costs": the examples for tiles and for patches.
        ("gpt-4o", (1024, 1024), "high", 765),
        ("gpt-4o", (2048, 4096), "high", 1105),
        ("gpt-4o", (4096, 8192), "low", 85),
        ("gpt-4o", (512, 512), None, 255),
        ("gpt-4o", (513, 512), "auto", 425),
        ("gpt-4o", (1, 1), "high", 255),
        ("openai/gpt-4o-2024-11-20", (1024, 1024), "high", 765),
        ("gpt-4.1", (1024, 1024), "high", 765),
        ("gpt-4o-mini", (1024, 1024), "high", 2833 + 4 * 5667),
        ("gpt-4o-mini", (1024, 1024), "low", 2833),
        ("o1", (1024, 1024), "high", 675),
        ("o3", (1024, 1024), "low", 75),
        ("gpt-5", (1024, 1024), "high", 630),
        ("gpt-5.1-codex", (1024, 1024), "low", 70),
        ("computer-use-preview", (1024, 768), "high", 65 + 4 * 129),
        ("some-vision-model", (1024, 1024), None, 765),
        ("gpt-4.1-mini", (1024, 1024), None, 1659),  # 1024 patches × 1.62
        ("gpt-4.1-mini", (1800, 2400), None, 2353),  # 33 × 44 patches × 1.62
        ("gpt-4.1-nano", (1024, 1024), None, 2520),
        ("o4-mini", (1024, 1024), None, 1762),
        ("gpt-5-mini", (32, 32), None, 2),
        ("gpt-5-nano", (1024, 1024), "low", 630),  # 256 patches × 2.46
        ("gpt-5-mini", (100_000, 10), None, 2489),  # never more than 1536 patches
    ],
)
def test_openai(model: str, size: tuple[int, int], detail: str | None, tokens: int) -> None:
    assert picture_tokens("openai", model, Size(*size), detail) == tokens


@pytest.mark.parametrize(
    ("model", "size", "tokens"),
    [
        # Anthropic documentation, "Calculate image costs".
        ("claude-sonnet-4-5", (200, 200), 54),
        ("claude-sonnet-4-5", (1000, 1000), 1334),
        ("claude-sonnet-4-5", (1092, 1092), 1590),
        ("claude-sonnet-4-5", (4000, 4000), 1600),
        ("claude-3-5-sonnet-20241022", (3136, 200), 210),  # shrunk to 1568 × 100
        ("claude-opus-4-20250514", (4000, 4000), 1600),
        ("claude-opus-4-6", (2000, 2000), 1600),
        ("claude-opus-4-7", (1000, 1000), 1334),
        ("claude-opus-4-7", (4000, 4000), 4784),
        ("anthropic/claude-opus-4.7", (2000, 1000), 2667),
        ("claude-sonnet-5", (4000, 4000), 4784),
        ("claude-sonnet-5-20270101", (4000, 4000), 4784),
        ("claude-opus-10-1", (4000, 4000), 4784),
        ("claude-haiku-4-5-20251001", (4000, 4000), 1600),
    ],
)
def test_anthropic(model: str, size: tuple[int, int], tokens: int) -> None:
    assert picture_tokens("anthropic", model, Size(*size), None) == tokens


@pytest.mark.parametrize(
    ("model", "size", "detail", "tokens"),
    [
        # Google, "Understand and count tokens", "Image understanding": 960 × 540 makes 6 tiles.
        ("gemini-2.5-flash", (384, 384), None, 258),
        ("gemini-2.5-flash", (385, 100), None, 2 * 258),
        ("gemini-2.5-flash", (960, 540), None, 6 * 258),
        ("gemini-2.5-pro", (3840, 2160), None, 15 * 258),
        # Google, "Media resolution": from Gemini 3 on by resolution alone.
        ("gemini-3-pro-preview", (100, 100), None, 1120),
        ("gemini-3.1-flash", (3840, 2160), "high", 1120),
        ("google/gemini-3-pro-preview", (3840, 2160), "medium", 560),
        ("gemini-4-argon", (3840, 2160), "low", 280),
    ],
)
def test_gemini(model: str, size: tuple[int, int], detail: str | None, tokens: int) -> None:
    assert picture_tokens("gemini", model, Size(*size), detail) == tokens


@pytest.mark.parametrize(
    ("family", "model", "tokens"),
    [("openai", "gpt-4o", 765), ("anthropic", "claude-sonnet-4-5", 1399), ("gemini", "x", 4 * 258)],
)
def test_a_picture_nobody_has_seen_is_taken_for_a_square_of_1024(
    family: Family, model: str, tokens: int
) -> None:
    assert Size(1024, 1024) == DEFAULT_SIZE
    assert picture_tokens(family, model, None, None) == tokens


@pytest.mark.parametrize(
    ("fmt", "model", "family"),
    [
        ("messages", "claude-opus-4-5", "anthropic"),
        ("chat", "anthropic/claude-opus-4-5", "anthropic"),
        ("chat", "google/gemini-2.5-pro", "gemini"),
        ("messages", "gpt-5", "openai"),
        ("gemini", "openai/o3-mini", "openai"),
        ("messages", "kimi-k2", "anthropic"),
        ("gemini", "gemma-3", "gemini"),
        ("chat", "llama-4", "openai"),
        ("responses", "deployment-7", "openai"),
    ],
)
def test_the_name_tells_whose_rules_a_model_follows_else_its_format(
    fmt: str, model: str, family: str
) -> None:
    assert family_of(fmt, model) == family


def png(width: int, height: int) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + header
    return (
        b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
    )


def segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def jpeg(width: int, height: int, *before: bytes, frame: int = 0xC0) -> bytes:
    sof = segment(frame, struct.pack(">BHHB", 8, height, width, 3) + b"\1\x22\0\2\x11\1\3\x11\1")
    return b"\xff\xd8" + b"".join(before) + sof + b"\xff\xda\0\x08..."


def webp(kind: bytes, content: bytes) -> bytes:
    chunk = kind + struct.pack("<I", len(content)) + content
    return b"RIFF" + struct.pack("<I", len(chunk) + 4) + b"WEBP" + chunk


def lossless(width: int, height: int) -> bytes:
    return b"\x2f" + struct.pack("<I", (width - 1) | (height - 1) << 14 | 1 << 28)


THUMBNAIL = segment(0xE1, b"Exif\0\0" + jpeg(160, 120) * 400)
HEADS = {
    "png": png(1024, 768),
    "gif87": b"GIF87a" + struct.pack("<HH", 1024, 768) + b"\0\0\0",
    "gif89": b"GIF89a" + struct.pack("<HH", 1024, 768) + b"\0\0\0",
    "jpeg": jpeg(1024, 768, segment(0xE0, b"JFIF\0\1\1\0\0\1\0\1\0\0")),
    "progressive jpeg": jpeg(1024, 768, segment(0xDB, bytes(65)), frame=0xC2),
    "jpeg with tables first": jpeg(1024, 768, segment(0xC4, bytes(30)), b"\xff\x01"),
    "jpeg with padding": jpeg(1024, 768, segment(0xE0, b"JFIF\0"), b"\xff\xff"),
    "jpeg behind thumbnail and profile": jpeg(
        1024, 768, THUMBNAIL, *[segment(0xE2, b"ICC_PROFILE\0" + bytes(60_000))] * 4
    ),
    "lossy webp": webp(
        b"VP8 ", b"\x30\1\0\x9d\1\x2a" + struct.pack("<HH", 1024 | 1 << 14, 768 | 2 << 14)
    ),
    "lossless webp": webp(b"VP8L", lossless(1024, 768)),
    "extended webp": webp(b"VP8X", b"\x10\0\0\0" + b"\xff\x03\0" + b"\xff\x02\0"),
}


@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
def test_the_size_stands_in_the_head(head: bytes) -> None:
    assert size_of(head) == Size(1024, 768)
    assert size_in(base64.b64encode(head).decode()) == Size(1024, 768)


@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
def test_a_head_cut_anywhere_tells_the_size_or_nothing(head: bytes) -> None:
    step = max(1, len(head) // 200)
    told = {size_of(head[:end]) for end in range(0, len(head), step)}
    assert told <= {None, Size(1024, 768)}
    assert None in told


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"BM" + bytes(60), id="another kind"),
        pytest.param(png(0, 768), id="no width"),
        pytest.param(jpeg(1024, 0), id="no height"),
        pytest.param(b"\xff\xd8" + segment(0xE0, b"JFIF\0") + b"\x12\x34" * 20, id="no marker"),
        pytest.param(webp(b"ALPH", bytes(20)), id="strange webp"),
    ],
)
def test_what_is_no_picture_has_no_size(head: bytes) -> None:
    assert size_of(head) is None


def test_what_is_no_base64_has_no_size() -> None:
    assert size_in("a") is None
    assert size_in("é" * 40) is None
