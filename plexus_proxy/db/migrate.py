"""Schema migrations: `NNNN_name.sql`, or a pair `NNNN_name.sqlite.sql`, `NNNN_name.postgres.sql`.

They run in order when a database is opened. Each commits together with its row in
schema_migrations, under a lock, so that any number of processes may start at once and a crash
leaves whole migrations only. A migration that has been released is never edited.
"""

import re
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Literal

from msgspec import Struct

from plexus_proxy.db.database import SchemaTooNew

Dialect = Literal["sqlite", "postgres"]

_FILE = re.compile(r"(?P<version>\d{4})_\w+?(?:\.(?P<dialect>sqlite|postgres))?\.sql")

CREATE_TABLE = (
    "CREATE TABLE IF NOT EXISTS schema_migrations ("
    "version BIGINT NOT NULL PRIMARY KEY, name TEXT NOT NULL, applied_at_ms BIGINT NOT NULL)"
)
SELECT_APPLIED = "SELECT version FROM schema_migrations"


class Migration(Struct, frozen=True):
    version: int
    name: str
    """The file's name."""
    sql: str


def read_migrations(folder: Path, dialect: Dialect) -> list[Migration]:
    """Every migration of `dialect` in order. Raises ValueError for a gap, a twin or a lone half."""
    found: dict[int, Migration] = {}
    versions: set[int] = set()
    for path in sorted(folder.glob("*.sql")):
        match = _FILE.fullmatch(path.name)
        if match is None:
            raise ValueError(f"{path.name} is not named like a migration (0001_name.sql)")
        version = int(match["version"])
        versions.add(version)
        if match["dialect"] not in (None, dialect):
            continue
        if version in found:
            raise ValueError(f"{path.name} and {found[version].name} have the same number")
        found[version] = Migration(version, path.name, path.read_text(encoding="utf-8"))
    if missing := sorted(set(range(1, max(versions, default=0) + 1)) - found.keys()):
        raise ValueError(f"migration {missing[0]:04d} is missing for {dialect}")
    return [found[version] for version in sorted(found)]


def pending(migrations: Sequence[Migration], applied: Collection[int]) -> list[Migration]:
    """What is still to be run on a database that has `applied`. Raises SchemaTooNew."""
    known = {migration.version for migration in migrations}
    if unknown := sorted(set(applied) - known):
        raise SchemaTooNew(
            f"The database has schema {unknown[-1]:04d}, made by a newer version of plexus-proxy;"
            f" this version knows schema {max(known, default=0):04d}. Start the newer version, or"
            " restore the backup made before the upgrade."
        )
    return [migration for migration in migrations if migration.version not in applied]
