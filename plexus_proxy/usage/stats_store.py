"""Samples and sums of traffic in the database."""

from collections.abc import Mapping, Sequence

import msgspec
from msgspec import Struct

from plexus_proxy.config.model import TargetKey
from plexus_proxy.db.database import Database, Statements
from plexus_proxy.usage.record import UsageRow
from plexus_proxy.usage.samples import Sample, Sums, sample_of, traffic_of

_DELETE_ROWS = 2000


class Performance(Struct, frozen=True, kw_only=True):
    """Of the last ten samples of a target that know the number; None if there is none."""

    provider: str
    model: str
    avg_ttft_ms: float | None
    min_ttft_ms: float | None
    max_ttft_ms: float | None
    avg_tokens_per_s: float | None
    min_tokens_per_s: float | None
    max_tokens_per_s: float | None
    avg_e2e_tokens_per_s: float | None
    sample_count: int
    """How many samples those ten are, if there are fewer."""
    last_updated_ms: int


class AliasTraffic(Struct, frozen=True, kw_only=True):
    """Sums over the requests for an alias; see `Sums`."""

    alias: str
    requests: int
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int


class _TargetTraffic(Struct, frozen=True, kw_only=True):
    provider: str
    model: str
    requests: int
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int


async def add_statistics(transaction: Statements, rows: Sequence[UsageRow]) -> None:
    """Count rows that have just been inserted, in the same transaction.

    Sums are written in the order of their keys: processes that wait for each other's rows must
    not do so in a circle.
    """
    traffic = traffic_of(rows)
    if traffic:
        names = ("hour_ms", "alias", "provider", "model")
        await transaction.execute_many(
            "traffic_add",
            [
                {**dict(zip(names, key, strict=True)), **msgspec.structs.asdict(sums)}
                for key, sums in traffic.items()
            ],
        )
    samples = [sample for row in rows if (sample := sample_of(row)) is not None]
    if samples:
        found = [msgspec.structs.asdict(sample) for sample in samples]
        await transaction.execute_many("sample_insert", found)


class StatisticsStore:
    """Reads and cleans. Every method raises Unavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def fetch_samples(self, since_ms: int, most: int) -> list[Sample]:
        """The newest of each target, at most `most`, oldest first."""
        rows = await self._database.fetch_all("samples_since", since_ms=since_ms, most=most)
        return [msgspec.convert(dict(row), Sample, strict=False) for row in rows]

    async def fetch_traffic(self, since_ms: int) -> Mapping[TargetKey, Sums]:
        """Sums by target over the hours that began at `since_ms` or later."""
        rows = await self._database.fetch_all("traffic_by_target", since_ms=since_ms)
        found = (msgspec.convert(dict(row), _TargetTraffic, strict=False) for row in rows)
        return {
            (each.provider, each.model): Sums(
                each.requests,
                each.input_tokens,
                each.output_tokens,
                each.cache_read_tokens,
                each.cache_write_tokens,
            )
            for each in found
        }

    async def fetch_alias_traffic(self, since_ms: int) -> list[AliasTraffic]:
        """The busiest first."""
        rows = await self._database.fetch_all("traffic_by_alias", since_ms=since_ms)
        return [msgspec.convert(dict(row), AliasTraffic, strict=False) for row in rows]

    async def fetch_performance(self, provider: str | None, model: str | None) -> list[Performance]:
        """By target; None does not filter."""
        rows = await self._database.fetch_all("performance")
        return [
            msgspec.convert(dict(row), Performance, strict=False)
            for row in rows
            if provider in (None, row["provider"]) and model in (None, row["model"])
        ]

    async def delete_samples(self, provider: str | None, model: str | None) -> int:
        """Of the targets named; how many there were."""
        given = {"provider": provider, "model": model}
        params = {name: value for name, value in given.items() if value is not None}
        conditions = (f"and_samples_of_{name}" for name in params)
        return await self._database.execute(("samples_delete", *conditions), **params)

    async def clean(self, before_ms: int, keep: int) -> None:
        """Delete traffic from before an instant, and samples beyond the newest `keep` of each."""
        await self._database.execute("traffic_delete_before", before_ms=before_ms)
        while await self._database.execute("samples_trim", keep=keep, most=_DELETE_ROWS):
            pass
