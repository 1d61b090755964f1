"""Numbers that grow with each change of something all processes keep a copy of."""

from plexus_proxy.cluster.bus import Bus
from plexus_proxy.db.database import Database

TOPIC = "revision"
"""Of the bus; the ids are the name of what has changed."""


class Revisions:
    """Both methods raise Unavailable."""

    def __init__(self, database: Database, bus: Bus) -> None:
        self._database = database
        self._bus = bus

    async def revision(self, name: str) -> int:
        """0 if nothing has ever changed."""
        row = await self._database.fetch_one("revision_of", name=name)
        return 0 if row is None else row["revision"]

    async def bump(self, name: str) -> int:
        """Note a change and tell the others; the new revision."""
        async with self._database.transaction() as transaction:
            row = await transaction.fetch_one("revision_bump", name=name)
        assert row is not None
        self._bus.publish(TOPIC, name)
        return row["revision"]
