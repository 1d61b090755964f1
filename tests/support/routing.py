"""Routing without a gateway: configs as text, cooldowns as a set, measurements as a table."""

from collections.abc import Collection, Mapping, Sequence
from random import Random

import msgspec
from msgspec import Struct
from ruamel.yaml import YAML

from plexus_proxy.config.model import Config, Selector, TargetKey
from plexus_proxy.config.snapshot import Snapshot, snapshot_of
from plexus_proxy.routing.kinds import RequestKind
from plexus_proxy.routing.router import Route, Router

SPOKEN = ("chat", "messages")


class Measurement(Struct, frozen=True, kw_only=True):
    """What a test says was measured of a target."""

    ttft_ms: float | None = None
    tokens_per_s: float | None = None
    e2e_tokens_per_s: float | None = None
    last_sample_ms: int | None = None
    requests_24h: int = 0
    mix: tuple[float, float, float, float] | None = None
    tokens_per_request: float = 0


class Left(Struct, frozen=True, kw_only=True):
    """What a test says is left of an account."""

    share_left: float | None = None
    resets_at_ms: int | None = None
    balance: float | None = None


class Known:
    """A view in which exactly this is known, of targets by "provider/model"."""

    def __init__(
        self,
        measured: Mapping[str, Measurement] | None = None,
        *,
        left: Mapping[str, Left] | None = None,
        exploration: float = 0,
        now_ms: int = 0,
    ) -> None:
        self._measured = measured or {}
        self._left = left or {}
        self._exploration = exploration
        self.now_ms = now_ms

    def measured(self, key: TargetKey) -> Measurement | None:
        return self._measured.get("/".join(key))

    def headroom(self, provider_id: str) -> Left | None:
        return self._left.get(provider_id)

    def exploration(self, selector: Selector) -> float:
        return self._exploration


class Resting(Known):
    """A view in which exactly these targets cool down, "provider/model" each."""

    def __init__(self, *targets: str) -> None:
        super().__init__()
        self._targets = frozenset(targets)

    @property
    def any_cooling(self) -> bool:
        return bool(self._targets)

    def is_cooling(self, provider: str, model: str) -> bool:
        return f"{provider}/{model}" in self._targets


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
