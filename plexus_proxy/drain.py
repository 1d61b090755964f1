"""Where the process is on its way out: serving → draining → closed.

`server/` moves it, everyone else only reads it: while draining, /readyz says 503 and connections
are told to close, but requests are served as before. Closed means that the listener is gone and
only requests that are already here run to their end.
"""

from typing import Literal

from aiohttp import web

State = Literal["serving", "draining", "closed"]


class Drain:
    """One per process; it only ever moves forward."""

    __slots__ = ("_state",)

    def __init__(self) -> None:
        self._state: State = "serving"

    @property
    def state(self) -> State:
        return self._state

    @property
    def draining(self) -> bool:
        """True from the first stop signal on."""
        return self._state != "serving"

    def begin(self) -> None:
        if self._state == "serving":
            self._state = "draining"

    def close(self) -> None:
        self._state = "closed"


DRAIN = web.AppKey("drain", Drain)
