"""What a strict client makes of a stream in its own format."""

from collections.abc import Callable

from support.strict_gemini_stream import read_gemini
from support.strict_responses import read_responses
from support.strict_streams import Answer, read_chat, read_messages

_READERS: dict[str, Callable[[bytes], Answer]] = {
    "chat": read_chat,
    "messages": read_messages,
    "responses": read_responses,
    "gemini": read_gemini,
}


def read_stream(fmt: str, stream: bytes) -> Answer:
    """A broken rule of the format's grammar is an AssertionError that names it."""
    return _READERS[fmt](stream)
