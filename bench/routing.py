"""`python -m bench.routing`: what finding the candidates of a request costs, in µs of CPU.

One model for each selector, with 50 candidates, beside a model with a single one: that is what any
request pays, and the difference is what the choice adds.
"""

import time
from collections.abc import Callable
from random import Random
from typing import get_args

from plexus_proxy.config.model import (
    Alias,
    Config,
    Provider,
    ProviderModel,
    Selector,
    SimplePricing,
    Target,
)
from plexus_proxy.config.snapshot import Snapshot, snapshot_of
from plexus_proxy.crypto import Secret
from plexus_proxy.formats.registry import FORMATS
from plexus_proxy.gateway.view import AlwaysFree
from plexus_proxy.routing.router import Router

TARGETS = 50
ROUNDS = 7
CALLS = 2000
SINGLE = "single"
SELECTORS: tuple[Selector, ...] = get_args(Selector)


def main() -> None:
    snapshot, router, view, random = _snapshot(), Router(FORMATS), AlwaysFree(), Random(1)

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
    names = [f"provider-{number}" for number in range(TARGETS)]
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
    main()
