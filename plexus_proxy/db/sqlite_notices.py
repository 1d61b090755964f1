"""Notices between the processes that have one SQLite file open: rows that stay for a minute.

Ids have no holes (AUTOINCREMENT, and a roll-back gives its ids back), and the newest row is never
deleted without a newer one. So whoever finds the row after the last it has seen has missed nothing,
however long it was away and whatever the clocks say.
"""

import sqlite3
from collections.abc import Sequence

from msgspec import Struct

_KEEP_MS = 60_000


class Found(Struct, frozen=True):
    """What there is since the last look."""

    notices: tuple[str, ...]
    last: int
    """The id to go on from."""
    missed: bool
    """There was more, which has been deleted; also at the first look."""


def data_version(connection: sqlite3.Connection) -> int:
    """Changes when another connection has committed anything (SQLite docs, "PRAGMA")."""
    return connection.execute("PRAGMA data_version").fetchone()[0]


def notices_after(connection: sqlite3.Connection, last: int | None) -> Found:
    """Everything after `last`, or where to begin if that is None."""
    if last is None:
        (newest,) = connection.execute("SELECT COALESCE(MAX(id), 0) FROM bus").fetchone()
        return Found((), newest, missed=True)
    rows = connection.execute(
        "SELECT id, notice FROM bus WHERE id > ? ORDER BY id", (last,)
    ).fetchall()
    if not rows:
        return Found((), last, missed=False)
    return Found(tuple(text for _, text in rows), rows[-1][0], missed=rows[0][0] != last + 1)


def add_notices(connection: sqlite3.Connection, notices: Sequence[str], now_ms: int) -> None:
    """In a transaction of its own, so that a cancelled caller leaves nothing open."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        connection.executemany(
            "INSERT INTO bus (notice, sent_at_ms) VALUES (?, ?)",
            [(notice, now_ms) for notice in notices],
        )
        connection.execute(
            "DELETE FROM bus WHERE sent_at_ms < ? AND id < (SELECT MAX(id) FROM bus)",
            (now_ms - _KEEP_MS,),
        )
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
