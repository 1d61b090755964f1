"""Token counts for upstreams that state no usage: a guess from the number of characters.

Four characters per token is the common rule of thumb for English text and JSON; it is cheap, never
looks at the text, and is marked as an estimate on the row.
"""

from plexus_proxy.formats.events import Usage

CHARS_PER_TOKEN = 4


def estimate_tokens(chars: int) -> int:
    """Tokens in a text of `chars` characters, rounded up; 0 only for no text at all."""
    return -(-max(chars, 0) // CHARS_PER_TOKEN)


def estimate_usage(*, input_chars: int, output_chars: int, reasoning_chars: int = 0) -> Usage:
    """Usage of an answer whose upstream stated none; nothing is taken to be cached."""
    return Usage(
        input_tokens=estimate_tokens(input_chars),
        output_tokens=estimate_tokens(output_chars),
        reasoning_tokens=estimate_tokens(reasoning_chars),
    )
