"""The shipped vocabulary is tiktoken's own, byte for byte and rule for rule."""

import hashlib
import lzma
import socket
from pathlib import Path
from typing import Any

import pytest
import tiktoken_ext.openai_public as public

from plexus_proxy.resources import VOCABULARY
from plexus_proxy.tokens import vocabulary


@pytest.fixture(scope="module")
def told() -> dict[str, Any]:
    """What tiktoken says of o200k_base, and the hash with which it checks what it downloads."""
    hashes: list[str] = []

    def load(_url: str, expected_hash: str) -> dict[bytes, int]:
        hashes.append(expected_hash)
        return {}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(public, "load_tiktoken_bpe", load)
        return {**public.o200k_base(), "hash": hashes[0]}


def test_the_shipped_file_is_the_one_tiktoken_expects(told: dict[str, Any]) -> None:
    text = lzma.decompress(VOCABULARY.read_bytes())
    assert hashlib.sha256(text).hexdigest() == told["hash"] == vocabulary.SHA256


def test_pattern_special_tokens_and_name_are_tiktokens(told: dict[str, Any]) -> None:
    assert told["pat_str"] == vocabulary.PATTERN
    assert told["special_tokens"] == vocabulary.SPECIAL_TOKENS
    assert told["name"] == vocabulary.NAME


def test_it_encodes_without_network_and_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("no network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    encoding = vocabulary.load_encoding(VOCABULARY)
    assert encoding.n_vocab == 200019
    assert encoding.encode_ordinary("hello world") == [24912, 2375]
    assert encoding.decode(encoding.encode_ordinary("Straße, 漢字, 😀")) == "Straße, 漢字, 😀"
    assert len(encoding.encode_ordinary("<|endoftext|>")) > 1  # text of a client, not a command
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("content", "said"),
    [
        pytest.param(b"not xz at all", "is damaged", id="no xz"),
        pytest.param(VOCABULARY.read_bytes()[:-100], "is damaged", id="cut"),
        pytest.param(lzma.compress(b"aGk= 0\n"), "is not the vocabulary", id="another file"),
    ],
)
def test_any_other_file_is_refused(tmp_path: Path, content: bytes, said: str) -> None:
    file = tmp_path / "o200k_base.tiktoken.xz"
    file.write_bytes(content)
    with pytest.raises(ValueError, match=said):
        vocabulary.load_ranks(file)
