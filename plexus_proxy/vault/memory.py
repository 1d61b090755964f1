"""What this process kept or fetched of the vault lately, so that most look-ups need no database."""

from collections import OrderedDict

from msgspec import Struct

from plexus_proxy.formats.conversation import Reasoning

Address = tuple[str, str]
"""Client key's name and anchor."""


class Kept(Struct, frozen=True):
    """A turn's reasoning; no parts: it is known that nothing is kept."""

    parts: tuple[Reasoning, ...]
    expires_at_ms: int


class Memory:
    """Bounded in bytes; the least recently kept goes first."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._kept: OrderedDict[Address, Kept] = OrderedDict()
        self._bytes = 0

    def put(self, address: Address, kept: Kept) -> None:
        self._discard(address)
        self._kept[address] = kept
        self._bytes += _size(address, kept)
        while self._bytes > self._max_bytes:
            self._discard(next(iter(self._kept)))

    def get(self, address: Address, now_ms: int) -> tuple[Reasoning, ...] | None:
        """None if the database has to be asked."""
        kept = self._kept.get(address)
        if kept is None or kept.expires_at_ms <= now_ms:
            self._discard(address)
            return None
        return kept.parts

    def _discard(self, address: Address) -> None:
        kept = self._kept.pop(address, None)
        if kept is not None:
            self._bytes -= _size(address, kept)


def size_of(parts: tuple[Reasoning, ...]) -> int:
    """In characters, for bounds."""
    return sum(len(part.text) + (len(part.opaque.data) if part.opaque else 0) for part in parts)


def _size(address: Address, kept: Kept) -> int:
    return 200 + sum(map(len, address)) + size_of(kept.parts)
