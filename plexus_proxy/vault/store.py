"""The vault's rows in the database, sealed when there is an encryption key."""

import logging
from collections.abc import Sequence
from typing import Any

import msgspec

from plexus_proxy.crypto import Sealer, WrongKey
from plexus_proxy.db.database import Database, Row
from plexus_proxy.formats.conversation import Reasoning, Remembered
from plexus_proxy.vault.memory import Kept

_log = logging.getLogger(__name__)

_ANCHORS = tuple(f"a{number}" for number in range(1, 9))
"""The parameters of statement reasoning_of."""
_DELETE_ROWS = 500

_encode = msgspec.json.Encoder().encode
_PARTS = msgspec.json.Decoder(tuple[Reasoning, ...])


class VaultStore:
    """All access to the reasoning table. Every method raises Unavailable."""

    def __init__(self, database: Database, sealer: Sealer) -> None:
        self._database = database
        self._sealer = sealer

    def rows(self, key_name: str, remembered: Remembered, expires_at_ms: int) -> list[Row]:
        """For `insert`: one per anchor."""
        parts = self._sealer.seal(_encode(remembered.parts).decode())
        return [
            {
                "key_name": key_name,
                "anchor": anchor,
                "parts": parts,
                "size_bytes": len(parts),
                "expires_at_ms": expires_at_ms,
            }
            for anchor in remembered.anchors
            if "\0" not in anchor  # which PostgreSQL cannot hold
        ]

    async def insert(self, rows: Sequence[Row]) -> None:
        """Raises Rejected if the database cannot hold an anchor."""
        async with self._database.transaction() as transaction:
            await transaction.execute_many("reasoning_keep", rows)

    async def fetch(self, key_name: str, anchors: Sequence[str], now_ms: int) -> dict[str, Kept]:
        """What is kept, by anchor; rows that another encryption key sealed are as good as gone."""
        found: dict[str, Kept] = {}
        for start in range(0, len(anchors), len(_ANCHORS)):
            params: dict[str, Any] = dict.fromkeys(_ANCHORS, "")
            params.update(zip(_ANCHORS, anchors[start : start + len(_ANCHORS)], strict=False))
            rows = await self._database.fetch_all(
                "reasoning_of", key_name=key_name, now_ms=now_ms, **params
            )
            for row in rows:
                try:
                    parts = _PARTS.decode(self._sealer.open(row["parts"]))
                except (WrongKey, msgspec.DecodeError):
                    _log.warning("kept reasoning was sealed or written by another, left alone")
                    continue
                found[row["anchor"]] = Kept(parts, row["expires_at_ms"])
        return found

    async def clean(self, now_ms: int, max_bytes: int) -> None:
        """Delete what has expired, then the oldest until the rest is within `max_bytes`."""
        while await self._database.execute(
            "reasoning_delete_expired", now_ms=now_ms, most=_DELETE_ROWS
        ):
            pass
        while (size := await self._database.fetch_one("reasoning_size")) is not None:
            if size["total_bytes"] <= max_bytes:
                return
            await self._database.execute("reasoning_delete_oldest", most=_DELETE_ROWS)
