"""What routing is told of targets at this moment."""


class AlwaysFree:
    """Nothing cools down."""

    any_cooling = False

    def is_cooling(self, provider: str, model: str) -> bool:
        return False
