"""`python -m bench.routing`: what finding the candidates of a request costs, in µs of CPU.

One model for each selector, with 50 candidates that were all measured, beside a model with a single
one: that is what any request pays, and the difference is what the choice adds.
"""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import get_args

from msgspec import Struct

from plexus_proxy.cluster.bus import Bus
from plexus_proxy.config.model import (
    Alias,
    Config,
    Provider,
    ProviderModel,
    Selector,
    SimplePricing,
    Target,
    TargetKey,
)
from plexus_proxy.config.snapshot import Snapshot, snapshot_of
from plexus_proxy.crypto import Secret
from plexus_proxy.db.database import Database
from plexus_proxy.db.open import open_database
from plexus_proxy.formats.registry import FORMATS
from plexus_proxy.routing.router import Router
from plexus_proxy.usage.record import AttemptRecord, UsageRow
from plexus_proxy.usage.stats import Statistics
from plexus_proxy.usage.stats_store import StatisticsStore

TARGETS = 50
ROUNDS = 7
CALLS = 2000
SINGLE = "single"
SELECTORS: tuple[Selector, ...] = get_args(Selector)


class Left(Struct, frozen=True, kw_only=True):
    """What is left of an account."""

    share_left: float | None = None
    resets_at_ms: int | None = None
    balance: float | None = None


class MeasuredView:
    """Nothing cools down, and every target has been measured."""

    any_cooling = False

    def __init__(self, statistics: Statistics) -> None:
        self.measured = statistics.measured
        self.now_ms = time.time_ns() // 1_000_000
        self._left = Left(share_left=0.5, resets_at_ms=self.now_ms + 3_600_000)

    def is_cooling(self, provider: str, model: str) -> bool:
        return False

    def headroom(self, provider_id: str) -> Left:
        return self._left

    def exploration(self, selector: Selector) -> float:
        return 0.05


async def main() -> None:
    with TemporaryDirectory() as folder:
        async with open_database(f"sqlite://{Path(folder) / 'bench.db'}") as database:
            _measure(MeasuredView(_statistics(database)))


def _statistics(database: Database) -> Statistics:
    """Twenty requests served by each target, no two of them equal."""
    statistics = Statistics(StatisticsStore(database), Bus(database, "bench"))
    random, now_ms = Random(2), time.time_ns() // 1_000_000
    for number in range(20 * TARGETS):
        attempt = AttemptRecord(
            provider=f"provider-{number % TARGETS}",
            model="m",
            format="chat",
            status="success",
            duration_ms=random.randint(2000, 4000),
            ttft_ms=random.randint(100, 900),
        )
        statistics.note(
            UsageRow(
                request_id=str(number),
                started_at_ms=now_ms - number,
                duration_ms=4000,
                key_name="bench",
                client_format="chat",
                provider=attempt.provider,
                model=attempt.model,
                streamed=True,
                status="success",
                http_status=200,
                input_tokens=random.randint(10, 5000),
                cache_read_tokens=random.randint(0, 5000),
                output_tokens=random.randint(10, 500),
                attempts=(attempt,),
            )
        )
    assert all(statistics.measured(key) for key in _targets())
    return statistics


def _targets() -> list[TargetKey]:
    return [(f"provider-{number}", "m") for number in range(TARGETS)]


def _measure(view: MeasuredView) -> None:
    snapshot, router, random = _snapshot(), Router(FORMATS), Random(1)

    def routing(model: str) -> Callable[[], object]:
        return lambda: router.route(model, "chat", "text", snapshot, view, random)

    single = _cpu_us(routing(SINGLE))
    print(f"{'selector':17}{'µs per request':>16}{'added':>8}   best of {ROUNDS} × {CALLS}")
    print(f"{'(one candidate)':17}{single:16.1f}")
    for selector in SELECTORS:
        taken = _cpu_us(routing(selector))
        print(f"{selector:17}{taken:16.1f}{taken - single:8.1f}")


def _cpu_us(call: Callable[[], object]) -> float:
    best = float("inf")
    for _ in range(ROUNDS):
        started = time.process_time()
        for _ in range(CALLS):
            call()
        best = min(best, time.process_time() - started)
    return best / CALLS * 1e6


def _snapshot() -> Snapshot:
    names = [provider for provider, _ in _targets()]
    providers = {
        name: Provider(
            api_base_url=f"https://{name}.example/v1",
            api_key=Secret("key"),
            models={"m": ProviderModel(pricing=SimplePricing(input=number, output=number))},
        )
        for number, name in enumerate(names)
    }
    targets = tuple(Target(provider=name, model="m") for name in names)
    models = {name: Alias(targets=targets, selector=name) for name in SELECTORS}
    return snapshot_of(
        Config(
            admin_key=Secret("admin"),
            providers=providers,
            models={SINGLE: Alias(targets=targets[:1]), **models},
            keys={},
        )
    )


if __name__ == "__main__":
    asyncio.run(main())
