"""The o200k vocabulary as a tiktoken.Encoding, from the file shipped with the package.

No cache folder and no network: tiktoken itself would fetch the file. What is stated here must be
what tiktoken states for its o200k_base (a test compares). Loading takes some 75 MB and holds the
interpreter for a tenth of a second, so only the helper process (`__main__`) does it.

The file is OpenAI's o200k_base.tiktoken (published with tiktoken, MIT), compressed with xz.
"""

import base64
import hashlib
import lzma
from pathlib import Path

import tiktoken

NAME = "o200k_base"
SHA256 = "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d"
"""Of the decompressed file."""
SPECIAL_TOKENS = {"<|endoftext|>": 199999, "<|endofprompt|>": 200018}
_ENDINGS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
_UPPER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]"
_LOWER = r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
PATTERN = "|".join(
    (
        rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}*{_LOWER}+{_ENDINGS}",
        rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}+{_LOWER}*{_ENDINGS}",
        r"\p{N}{1,3}",
        r" ?[^\s\p{L}\p{N}]+[\r\n/]*",
        r"\s*[\r\n]+",
        r"\s+(?!\S)",
        r"\s+",
    )
)
"""What cuts a text into the pieces that are encoded on their own."""


def load_encoding(path: Path) -> tiktoken.Encoding:
    """Raises ValueError if the file is not the vocabulary, OSError if it cannot be read."""
    return tiktoken.Encoding(
        NAME,
        pat_str=PATTERN,
        mergeable_ranks=load_ranks(path),
        special_tokens=SPECIAL_TOKENS,
    )


def load_ranks(path: Path) -> dict[bytes, int]:
    """Token → rank. Raises as `load_encoding` does."""
    try:
        text = lzma.decompress(path.read_bytes())
    except lzma.LZMAError as error:
        raise ValueError(f"{path.name} is damaged: {error}") from error
    if hashlib.sha256(text).hexdigest() != SHA256:
        raise ValueError(f"{path.name} is not the vocabulary that was expected")
    pairs = (line.split() for line in text.splitlines())
    return {base64.b64decode(token): int(rank) for token, rank in pairs}
