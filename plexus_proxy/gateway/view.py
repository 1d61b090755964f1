"""What routing is told of targets at this moment."""

import time
from typing import Protocol

from plexus_proxy.config.model import Selector, TargetKey
from plexus_proxy.config.store import ConfigStore
from plexus_proxy.limits.allowances import Allowance, Allowances
from plexus_proxy.limits.cooldowns import Cooldowns
from plexus_proxy.routing.selectors import Measured


class Statistics(Protocol):
    def measured(self, key: TargetKey) -> Measured | None: ...


class LiveView:
    """Cooldowns and measurements of all processes, as this one knows them."""

    def __init__(
        self,
        config: ConfigStore,
        cooldowns: Cooldowns,
        allowances: Allowances,
        statistics: Statistics,
    ) -> None:
        self._config = config
        self._allowances = allowances
        self._cooldowns = cooldowns
        self.measured = statistics.measured

    @property
    def any_cooling(self) -> bool:
        return not self._cooldowns.idle

    def is_cooling(self, provider: str, model: str) -> bool:
        if self._cooldowns.blocking(provider, model, self.now_ms) is None:
            return False
        found = self._config.current.config.providers.get(provider)
        return found is None or not found.disable_cooldown

    def headroom(self, provider_id: str) -> Allowance | None:
        return self._allowances.of(provider_id, self.now_ms)

    @property
    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def exploration(self, selector: Selector) -> float:
        config = self._config.current.config
        match selector:
            case "latency":
                return config.latency_exploration_rate
            case "performance":
                return config.performance_exploration_rate
            case "e2e_performance":
                return config.e2e_exploration_rate
            case _:
                return 0
