"""How often a wrong admin key may be tried."""


class FailedSignIns:
    """A bucket of allowed failures, for all addresses together: an attacker has many.

    While it is empty nobody can sign in on the page, not even with the right key: otherwise the
    answer would still tell a right guess from a wrong one.
    """

    __slots__ = ("_at_s", "_burst", "_left", "_per_s")

    def __init__(self, *, burst: int = 10, per_minute: float = 10) -> None:
        self._burst = burst
        self._per_s = per_minute / 60
        self._left = float(burst)
        self._at_s: float | None = None

    def wait_s(self, now_s: float) -> float:
        """Seconds until the next try is heard; 0: now."""
        self._refill(now_s)
        return 0.0 if self._left >= 1 else (1 - self._left) / self._per_s

    def add(self, now_s: float) -> None:
        self._refill(now_s)
        self._left = max(0.0, self._left - 1)

    def _refill(self, now_s: float) -> None:
        if self._at_s is not None:
            self._left = min(self._burst, self._left + (now_s - self._at_s) * self._per_s)
        self._at_s = now_s
