"""The retry budget: further attempts as a share of the traffic, so that an outage of one provider
does not multiply the load on the others.

Source: Finagle, "Retry budgets" (ten seconds, twenty percent, and a few a second for quiet times).
"""

from collections import deque

WINDOW_S = 10


class RetryBudget:
    """Of one process. `now` is of any clock that counts seconds."""

    def __init__(self) -> None:
        self._seconds: deque[list[int]] = deque()
        """[second, requests, retries], oldest first."""
        self._requests = 0
        self._retries = 0

    def request(self, now: float) -> None:
        """A client's request has begun."""
        self._at(now)[1] += 1
        self._requests += 1

    def take(self, share: float, min_per_s: float, now: float) -> bool:
        """Whether one more attempt is within the budget; if so it counts."""
        second = self._at(now)
        if self._retries + 1 > min_per_s * WINDOW_S + share * self._requests:
            return False
        second[2] += 1
        self._retries += 1
        return True

    def _at(self, now: float) -> list[int]:
        number = int(now)
        seconds = self._seconds
        if not seconds or seconds[-1][0] != number:
            seconds.append([number, 0, 0])
            while seconds[0][0] <= number - WINDOW_S:
                _, requests, retries = seconds.popleft()
                self._requests -= requests
                self._retries -= retries
        return seconds[-1]
