"""Cache markers within the limits of the Messages API: four at most, and no longer lifetime after
a shorter one, in the order of the prompt (tools, system, messages). Source: Anthropic
documentation, "Prompt caching"."""

from collections.abc import Iterator, Sequence
from typing import TypeVar

from msgspec.structs import replace

from plexus_proxy.formats.messages.types import MAX_CACHE_MARKERS, Block, CacheControl, Tool
from plexus_proxy.formats.messages.types import RedactedThinkingBlock as Redacted
from plexus_proxy.formats.messages.types import ThinkingBlock as Thinking

_LONG_TTL = "1h"

_T = TypeVar("_T", bound=Tool | Block)


class Markers:
    """Goes through a prompt in its order and lets the last four markers stand."""

    def __init__(self, prompt: Iterator[Tool | Block]) -> None:
        self._surplus = sum(marker_of(each) is not None for each in prompt) - MAX_CACHE_MARKERS
        self._short_seen = False

    def legal(self, pieces: Sequence[_T]) -> list[_T]:
        """The next pieces of the prompt."""
        return [self._legal(each) for each in pieces]

    def _legal(self, piece: _T) -> _T:
        marker = marker_of(piece)
        if marker is None or isinstance(piece, Thinking | Redacted):
            return piece
        if self._surplus > 0:
            self._surplus -= 1
            return replace(piece, cache_control=None)
        if marker.ttl != _LONG_TTL:
            self._short_seen = True
        elif self._short_seen:
            return replace(piece, cache_control=CacheControl())
        return piece


def marker_of(piece: Tool | Block) -> CacheControl | None:
    return None if isinstance(piece, Thinking | Redacted) else piece.cache_control
