"""Reasoning kept for clients that do not send it back.

Most Chat clients drop thinking blocks and signatures, yet a provider demands them in the next step
of a tool loop. What a finished turn thought is kept here under (client key, tool-call id) for a few
hours, bounded in number and size. One vault per process.
"""

from collections import OrderedDict
from collections.abc import Iterable, Mapping

from aiohttp import web
from msgspec import Struct

from plexus_proxy.formats.conversation import Reasoning, Remembered

TTL_S = 6 * 3600.0
MAX_BYTES = 64 * 1024 * 1024


class _Kept(Struct, frozen=True):
    parts: tuple[Reasoning, ...]
    expires: float
    size: int


class ReasoningVault:
    """Least recently kept goes first when the bound is reached. Times are monotonic seconds."""

    def __init__(self, *, ttl_s: float = TTL_S, max_bytes: int = MAX_BYTES) -> None:
        self._ttl_s = ttl_s
        self._max_bytes = max_bytes
        self._kept: OrderedDict[tuple[str, str], _Kept] = OrderedDict()
        self._bytes = 0

    def keep(self, key_name: str, remembered: Remembered, now: float) -> None:
        """Keep a turn's reasoning under each of its tool ids."""
        size = sum(
            len(part.text) + (len(part.opaque.data) if part.opaque else 0)
            for part in remembered.parts
        )
        for tool_id in remembered.tool_ids:
            self._discard((key_name, tool_id))
            self._kept[key_name, tool_id] = _Kept(remembered.parts, now + self._ttl_s, size)
            self._bytes += size
        while self._bytes > self._max_bytes or (self._kept and self._oldest().expires <= now):
            self._discard(next(iter(self._kept)))

    def fetch(
        self, key_name: str, tool_ids: Iterable[str], now: float
    ) -> Mapping[str, tuple[Reasoning, ...]]:
        """What is still known, by tool id."""
        found: dict[str, tuple[Reasoning, ...]] = {}
        for tool_id in tool_ids:
            kept = self._kept.get((key_name, tool_id))
            if kept is not None and kept.expires > now:
                found[tool_id] = kept.parts
        return found

    def _oldest(self) -> _Kept:
        return next(iter(self._kept.values()))

    def _discard(self, entry: tuple[str, str]) -> None:
        kept = self._kept.pop(entry, None)
        if kept is not None:
            self._bytes -= kept.size


VAULT = web.AppKey("vault", ReasoningVault)
