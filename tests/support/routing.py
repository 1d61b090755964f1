"""Routing without a gateway: configs as text, cooldowns as a set."""

from collections.abc import Collection, Sequence
from random import Random

import msgspec
from ruamel.yaml import YAML

from plexus_proxy.config.model import Config, Selector, TargetKey
from plexus_proxy.config.snapshot import Snapshot, snapshot_of
from plexus_proxy.routing.kinds import RequestKind
from plexus_proxy.routing.router import Route, Router

SPOKEN = ("chat", "messages")


class Resting:
    """A view in which exactly these targets cool down, "provider/model" each."""

    def __init__(self, *targets: str) -> None:
        self._targets = frozenset(targets)

    @property
    def any_cooling(self) -> bool:
        return bool(self._targets)

    def is_cooling(self, provider: str, model: str) -> bool:
        return f"{provider}/{model}" in self._targets

    def measured(self, key: TargetKey) -> None:
        return None

    def exploration(self, selector: Selector) -> float:
        return 0.0


def snapshot_from(text: str) -> Snapshot:
    """Of `providers` and `models`; also such as would be refused in a file, like circles."""
    parts = {"adminKey": "admin", "keys": {}, **YAML(typ="safe").load(text)}
    return snapshot_of(msgspec.convert(parts, Config, dec_hook=lambda kind, value: kind(value)))


def routed(
    snapshot: Snapshot,
    model: str,
    wanted: str = "chat",
    kind: RequestKind = "text",
    *,
    cooling: Collection[str] = (),
    prefer: Sequence[TargetKey | str] = (),
) -> Route:
    return Router(SPOKEN).route(
        model, wanted, kind, snapshot, Resting(*cooling), Random(7), prefer=prefer
    )


def candidates(route: Route) -> list[str]:
    return [f"{each.provider_id}/{each.model}" for each in route.candidates]
