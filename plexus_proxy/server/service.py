"""One serving process: the application behind listening sockets, and the order in which it stops.

A stop has three steps, the same with one process and with several workers:

1. drain: /readyz says 503 and every answer ends its connection, but all requests are served, those
   on new connections too, for `shutdown.drain_s`: load balancers get the time to look away;
2. the listener closes; open requests and streams run to their end, at most `shutdown.grace_s`;
3. what is still open is cancelled, background work ends and the usage rows are flushed.

A second signal (`hurry`) skips what is left of 1 and 2. Every request that reached us before step 2
is answered, as with Pingora's graceful upgrade (cloudflare/pingora:docs/user_guide/graceful.md).
"""

import asyncio
import gc
import logging
import socket
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, suppress

from aiohttp import web
from msgspec import Struct

from plexus_proxy import tasks
from plexus_proxy.config.model import Limits, Shutdown
from plexus_proxy.drain import Drain
from plexus_proxy.server.listen import BACKLOG, url_of
from plexus_proxy.server.protocol import (
    MAX_FIELD_BYTES,
    MAX_HEADERS,
    MAX_LINE_BYTES,
    Server,
)

KEEPALIVE_S = 75.0
"""Longer than the idle time-out of common load balancers (60 s), so that they close first."""
_SWEEP_S = 0.5
_POLL_S = 0.05
_GC_THRESHOLDS = (20_000, 20, 50)
_EXPECTANT_S = 1.0
"""How long a connection that was accepted just before the listener closed may stay silent."""
_CANCEL_S = 5.0

_log = logging.getLogger(__name__)


class Rules(Struct, frozen=True):
    """What of the config the server obeys, as it is now."""

    limits: Limits = Limits()
    shutdown: Shutdown = Shutdown()


class _Runner(web.AppRunner):
    """AppRunner whose connections are ours; `_make_server` is the narrowest place to say so."""

    def __init__(self, app: web.Application, drain: Drain) -> None:
        super().__init__(app, access_log=None, shutdown_timeout=_CANCEL_S)
        self._drain = drain
        self.edge: Server | None = None

    async def _make_server(self) -> web.Server:
        plain = await super()._make_server()
        self.edge = Server(
            plain,
            loop=asyncio.get_running_loop(),
            drain=self._drain,
            options={
                "access_log": None,
                "keepalive_timeout": KEEPALIVE_S,
                "max_line_size": MAX_LINE_BYTES,
                "max_field_size": MAX_FIELD_BYTES,
                "max_headers": MAX_HEADERS,
            },
        )
        return self.edge


def tune_collections() -> None:
    """For a process that serves: requests leave next to no cycles, so look for some seldom; code
    and config stay for good, so do not look at them again and again. A fifth of a small request's
    CPU time depends on it."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_GC_THRESHOLDS)


class Service:
    """Serves `app` on sockets until `stop`. `rules` is asked anew each time it matters."""

    def __init__(self, app: web.Application, drain: Drain, rules: Callable[[], Rules]) -> None:
        self._drain = drain
        self._rules = rules
        self._runner = _Runner(app, drain)
        self._sites: list[web.SockSite] = []
        self._background = AsyncExitStack()
        self.hurry = asyncio.Event()
        """Set by a second signal."""

    async def start(self, sockets: Sequence[socket.socket]) -> None:
        """Start the application, then listen. Raises whatever the application's start raises."""
        try:
            await self._runner.setup()
        except BaseException:
            await self._runner.cleanup()
            raise
        await self._background.enter_async_context(
            tasks.every(_SWEEP_S, self._sweep, name="slow heads")
        )
        for each in sockets:
            site = web.SockSite(self._runner, each, backlog=BACKLOG)
            await site.start()
            self._sites.append(site)
            _log.info("serving on %s", url_of(each))

    @property
    def _server(self) -> Server:
        server = self._runner.edge
        assert server is not None, "start() comes first"
        return server

    async def _sweep(self) -> None:
        self._server.cut_slow_heads(asyncio.get_running_loop().time(), self._rules().limits.head_s)

    async def stop(self) -> None:
        """The three steps above. Returns when nothing is left."""
        shutdown = self._rules().shutdown
        self._drain.begin()
        self._server.tell_to_close()
        _log.info("stopping: not ready any more, still serving for %g s", shutdown.drain_s)
        await self._unless_hurried(shutdown.drain_s)
        for site in self._sites:
            await site.stop()
        self._drain.close()
        await self._let_open_requests_end(shutdown.grace_s)
        await self._server.cancel_open(_CANCEL_S)
        await self._background.aclose()
        await self._runner.cleanup()
        _log.info("stopped")

    async def _let_open_requests_end(self, grace_s: float) -> None:
        loop = asyncio.get_running_loop()
        closed_s = loop.time()
        if count := self._server.open_requests:
            _log.info("listener closed; waiting up to %g s for %d open requests", grace_s, count)
        while not self.hurry.is_set() and (passed_s := loop.time() - closed_s) <= grace_s:
            if not self._server.close_idle(spare_expectant=passed_s < _EXPECTANT_S):
                return
            await self._unless_hurried(_POLL_S)
        if count := self._server.open_requests:
            _log.warning("cancelling %d requests that are still open", count)

    async def _unless_hurried(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.hurry.wait()
