"""The rows of the bindings table."""

from collections.abc import Mapping, Sequence

from msgspec import Struct

from plexus_proxy.config.model import TargetKey
from plexus_proxy.db.database import Database

_WRITE_ROWS = 500
_DELETE_ROWS = 500
_EVER_MS = 1 << 62


class Bound(Struct, frozen=True, gc=False):
    """Who served a session last, and when."""

    target: TargetKey
    used_at_ms: int


class BindingStore:
    """All access to the table. Every method raises Unavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def put(self, bindings: Mapping[str, Bound]) -> None:
        """By key. Raises Rejected if the database cannot hold a name, and Conflict."""
        rows = [
            {
                "key_hash": key,
                "provider": bound.target[0],
                "model": bound.target[1],
                "used_at_ms": bound.used_at_ms,
            }
            for key, bound in sorted(bindings.items())  # two processes never wait for each other
        ]
        for start in range(0, len(rows), _WRITE_ROWS):
            async with self._database.transaction() as transaction:
                await transaction.execute_many("bindings_put", rows[start : start + _WRITE_ROWS])

    async def fetch(self, keys: Sequence[str], since_ms: int) -> dict[str, Bound]:
        """By key, those of one or two keys that were used since then."""
        rows = await self._database.fetch_all(
            "bindings_of", first=keys[0], second=keys[-1], since_ms=since_ms
        )
        return {
            row["key_hash"]: Bound((row["provider"], row["model"]), row["used_at_ms"])
            for row in rows
        }

    async def delete(self, before_ms: int = _EVER_MS) -> int:
        """What was not used since then, all of it if no time is given; how many there were."""
        total = 0
        while deleted := await self._database.execute(
            "bindings_delete_before", before_ms=before_ms, most=_DELETE_ROWS
        ):
            total += deleted
        return total
