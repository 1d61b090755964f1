"""Usage rows in the database: written in batches, read newest first, deleted in small bites."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from plexus_proxy.db.database import Database, Row
from plexus_proxy.usage.record import Cost, UsageRow
from plexus_proxy.usage.stats_store import add_statistics

_DELETE_ROWS = 2000
_END_OF_TIME_MS = 2**62

_encode = msgspec.json.Encoder().encode
_COST_COLUMNS = tuple(name for name in Cost.__struct_fields__ if name.endswith("_nano_usd"))


class UsageFilters(Struct, frozen=True, kw_only=True):
    """Which rows to list; None does not filter. The three `…_like` find parts, ignoring case."""

    start_ms: int | None = None
    end_ms: int | None = None
    """Both ends are inclusive."""
    key_name: str | None = None
    attribution: str | None = None
    client_request_id: str | None = None
    client_format: str | None = None
    provider_format: str | None = None
    status: str | None = None
    provider_like: str | None = None
    alias_like: str | None = None
    model_like: str | None = None
    min_duration_ms: int | None = None
    max_duration_ms: int | None = None


# Filter → (named condition, its parameter).
_CONDITIONS = {
    "start_ms": ("and_usage_from", "start_ms"),
    "end_ms": ("and_usage_until", "end_ms"),
    "key_name": ("and_usage_of_key", "key_name"),
    "attribution": ("and_usage_of_attribution", "attribution"),
    "client_request_id": ("and_usage_of_client_request", "client_request_id"),
    "client_format": ("and_usage_of_client_format", "client_format"),
    "provider_format": ("and_usage_of_provider_format", "provider_format"),
    "status": ("and_usage_with_status", "status"),
    "provider_like": ("and_usage_provider_like", "provider"),
    "alias_like": ("and_usage_alias_like", "alias"),
    "model_like": ("and_usage_model_like", "model"),
    "min_duration_ms": ("and_usage_at_least", "min_duration_ms"),
    "max_duration_ms": ("and_usage_at_most", "max_duration_ms"),
}


class UsageStore:
    """All access to the usage table. Every method raises Unavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def insert_rows(self, rows: Sequence[UsageRow], now_ms: int) -> None:
        """Insert rows, all or nothing.

        Raises Conflict if one of them is there already; `insert_unknown_rows` sorts that out, at
        many times the effort.
        """
        async with self._database.transaction() as transaction:
            await transaction.execute_many("usage_insert", [_params(row, now_ms) for row in rows])
            await add_statistics(transaction, rows)

    async def insert_unknown_rows(self, rows: Sequence[UsageRow], now_ms: int) -> list[UsageRow]:
        """Insert those that are not there yet, so that a replay counts once; returns them."""
        fresh: list[UsageRow] = []
        async with self._database.transaction() as transaction:
            for row in rows:
                query = ("usage_insert", "usage_unless_known")
                if await transaction.fetch_one(query, **_params(row, now_ms)) is not None:
                    fresh.append(row)
            await add_statistics(transaction, fresh)
        return fresh

    async def fetch_page(self, filters: UsageFilters, limit: int, offset: int) -> list[UsageRow]:
        """Rows that match, newest first."""
        conditions, params = _where(filters)
        query = ("usage_rows", *conditions, "usage_newest_first")
        rows = await self._database.fetch_all(query, **params, limit=limit, offset=offset)
        return [_read(row) for row in rows]

    async def count(self, filters: UsageFilters) -> int:
        conditions, params = _where(filters)
        row = await self._database.fetch_one(("usage_count", *conditions), **params)
        return 0 if row is None else int(row["total"])

    async def fetch_row(self, request_id: str) -> UsageRow | None:
        row = await self._database.fetch_one("usage_row", request_id=request_id)
        return None if row is None else _read(row)

    async def delete_row(self, request_id: str) -> bool:
        """False if there was no such row."""
        return await self._database.execute("usage_delete", request_id=request_id) > 0

    async def delete_before(self, before_ms: int) -> int:
        """Delete rows of requests that started before the instant; how many there were."""
        deleted = 0
        while found := await self._database.execute(
            "usage_delete_before", before_ms=before_ms, most=_DELETE_ROWS
        ):
            deleted += found
        return deleted

    async def delete_all(self) -> int:
        return await self.delete_before(_END_OF_TIME_MS)


def _where(filters: UsageFilters) -> tuple[list[str], dict[str, Any]]:
    conditions: list[str] = []
    params: dict[str, Any] = {}
    for name, (condition, param) in _CONDITIONS.items():
        value = getattr(filters, name)
        if value is not None:
            conditions.append(condition)
            params[param] = _contains(value) if name.endswith("_like") else value
    return conditions, params


def _contains(part: str) -> str:
    """A LIKE pattern that finds `part` literally (escape character `!`)."""
    escaped = part.replace("!", "!!").replace("%", "!%").replace("_", "!_")
    return f"%{escaped}%"


def _params(row: UsageRow, now_ms: int) -> dict[str, Any]:
    """The row as columns; more than the table has is no harm."""
    params = msgspec.structs.asdict(row)
    params.update(msgspec.structs.asdict(row.cost))
    params["cost_source"] = row.cost.source
    params["cost_detail"] = row.cost.detail
    params["created_at_ms"] = now_ms
    params["attempts"] = _encode(row.attempts).decode()
    params["dropped_fields"] = _encode(row.dropped_fields).decode() if row.dropped_fields else "[]"
    return params


def _read(row: Row) -> UsageRow:
    values: dict[str, Any] = dict(row)
    values["cost"] = _read_cost(row)
    values["attempts"] = msgspec.json.decode(row["attempts"])
    values["dropped_fields"] = msgspec.json.decode(row["dropped_fields"])
    return msgspec.convert(values, UsageRow, strict=False)


def _read_cost(row: Mapping[str, Any]) -> dict[str, Any]:
    cost = {name: row[name] for name in _COST_COLUMNS}
    return {**cost, "source": row["cost_source"], "detail": row["cost_detail"]}
