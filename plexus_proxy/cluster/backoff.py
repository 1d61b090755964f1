"""How an outage of the database is lived through: told of once, tried again ever more seldom."""

import logging

from plexus_proxy.log import reason

_FIRST_S = 0.25
_MOST_S = 4.0

_log = logging.getLogger(__name__)


class Backoff:
    """Of one piece of background work; `consequence` says what does not happen meanwhile."""

    def __init__(self, consequence: str) -> None:
        self._consequence = consequence
        self._delay_s = 0.0

    def failed(self, error: Exception) -> float:
        """Seconds to wait before the next try."""
        if not self._delay_s:
            _log.warning("%s: %s", self._consequence, reason(error))
        self._delay_s = min(self._delay_s * 2 or _FIRST_S, _MOST_S)
        return self._delay_s

    def succeeded(self) -> None:
        if self._delay_s:
            _log.info("over: %s", self._consequence)
        self._delay_s = 0.0
