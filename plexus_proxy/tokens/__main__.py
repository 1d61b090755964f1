"""The helper process: reads texts from its standard input, tells how many tokens they are.

`python -m plexus_proxy.tokens`. It ends when its input does, and that is the only way it ends: a
gateway that is killed takes it along, and signals sent to a whole group (Ctrl-C, a supervisor's
SIGTERM) do not end it before the gateway that may still need it.
"""

import signal
import sys
from collections.abc import Callable, Iterable
from typing import BinaryIO

from plexus_proxy.resources import VOCABULARY
from plexus_proxy.tokens import frames
from plexus_proxy.tokens.frames import Told
from plexus_proxy.tokens.vocabulary import load_encoding

PIECE_CHARS = 16 * 1024
"""Texts are encoded in pieces: a run of a million letters without a space costs tiktoken more than
its length (and a stack), and a cut costs at most a token or two."""


def count(texts: Iterable[str], encode: Callable[[str], list[int]]) -> int:
    """Tokens in all texts."""
    return sum(
        len(encode(text[start : start + PIECE_CHARS]))
        for text in texts
        for start in range(0, len(text), PIECE_CHARS)
    )


def serve(source: BinaryIO, sink: BinaryIO, encode: Callable[[str], list[int]]) -> None:
    """Answer one Ask after the other until `source` ends."""
    while len(head := source.read(frames.LENGTH_BYTES)) == frames.LENGTH_BYTES:
        length = frames.length_in(head)
        body = source.read(length)
        if len(body) < length:
            return
        ask = frames.decode_ask(body)
        sink.write(frames.framed(Told(ask.id, count(ask.texts, encode))))
        sink.flush()


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    encode = load_encoding(VOCABULARY).encode_ordinary
    sink = sys.stdout.buffer
    try:
        sink.write(frames.framed(frames.READY))
        sink.flush()
        serve(sys.stdin.buffer, sink, encode)
    except BrokenPipeError:
        sys.stderr.close()  # nobody is left to tell


if __name__ == "__main__":
    main()
