"""What routing is told of targets at this moment."""

from plexus_proxy.config.model import Selector, TargetKey


class AlwaysFree:
    """Nothing cools down, and nothing was measured."""

    any_cooling = False

    def is_cooling(self, provider: str, model: str) -> bool:
        return False

    def measured(self, key: TargetKey) -> None:
        return None

    def exploration(self, selector: Selector) -> float:
        return 0.0
