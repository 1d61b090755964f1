"""Pages of documents and seconds of recordings, seen in the file or guessed from its size."""

import base64
import struct

import pytest

from plexus_proxy.tokens import pages
from plexus_proxy.tokens.pictures import Family


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


TREE = b"%PDF-1.4\n2 0 obj\n<< /Type /Pages /Kids [3 0 R 4 0 R] /Count 12 >>\nendobj\n"
TREE_BACKWARDS = b"%PDF-1.4\n2 0 obj\n<</Count 12/Kids[3 0 R]/Type/Pages>>\nendobj\n"
SUBTREE = b"5 0 obj\n<< /Type /Pages /Parent 2 0 R /Count 6 >>\nendobj\n"
PAGE = b"3 0 obj\n<< /Type /Page /Parent 2 0 R >>\nendobj\n"
FILLING = b"stream\n" + bytes(range(256)) * 12_000 + b"endstream\n"


@pytest.mark.parametrize(
    ("document", "count"),
    [
        pytest.param(TREE, 12, id="root of the page tree"),
        pytest.param(TREE_BACKWARDS, 12, id="root written the other way round"),
        pytest.param(SUBTREE + TREE + SUBTREE, 12, id="root among branches"),
        pytest.param(b"%PDF-1.4\n" + FILLING + TREE, 12, id="root at the end of a large file"),
        pytest.param(TREE + FILLING, 12, id="root at the start of a large file"),
        pytest.param(b"%PDF-1.4\n" + PAGE * 3, 3, id="pages without a tree"),
        pytest.param(b"%PDF-1.7\n" + bytes(10), 1, id="small and packed"),
        pytest.param(b"%PDF-1.7\n" + bytes(500_000), 11, id="large and packed"),
        pytest.param(TREE.replace(b"12", b"99999999"), 1, id="incredible"),
        pytest.param(TREE.replace(b"12", b"9" * 10_000), 1, id="more digits than a number has"),
        pytest.param(b"%PDF-1.7\n" + bytes(60_000_000), 1000, id="huge"),
    ],
)
def test_pages_of_a_pdf(document: bytes, count: int) -> None:
    assert pages.pages_in(b64(document)) == count


def test_damaged_base64_is_guessed_by_its_size() -> None:
    assert pages.pages_in("A" * 200_001) == 3


@pytest.mark.parametrize(
    ("family", "model", "tokens"),
    [
        ("anthropic", "claude-sonnet-4-5", 9000),
        ("openai", "gpt-4o", 9000),
        ("gemini", "gemini-2.5-pro", 3 * 258),
        ("gemini", "gemini-3-pro", 3 * 560),
    ],
)
def test_tokens_of_a_document(family: Family, model: str, tokens: int) -> None:
    assert pages.document_tokens(family, model, 3) == tokens


def wav(seconds: float, bytes_per_s: int) -> bytes:
    head = struct.pack(
        "<4sI4s4sIHHIIHH",
        b"RIFF",
        0,
        b"WAVE",
        b"fmt ",
        16,
        1,
        1,
        bytes_per_s // 2,
        bytes_per_s,
        2,
        16,
    )
    return head + bytes(round(seconds * bytes_per_s) - len(head))


@pytest.mark.parametrize(
    ("family", "data", "format", "tokens"),
    [
        pytest.param("gemini", wav(10, 48_000), "wav", 320, id="gemini wav"),
        pytest.param("openai", wav(10, 32_000), "wav", 100, id="openai wav"),
        pytest.param("openai", bytes(160_000), "mp3", 100, id="openai mp3"),
        pytest.param("gemini", b"RIFF", "wav", 1, id="cut wav"),
        pytest.param("openai", wav(160_000, 1), "wav", 100, id="damaged wav"),
    ],
)
def test_tokens_of_a_recording(family: Family, data: bytes, format: str, tokens: int) -> None:
    assert pages.audio_tokens(family, b64(data), format) == tokens
