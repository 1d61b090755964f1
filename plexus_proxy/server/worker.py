"""Several processes (`serve --workers N`): gunicorn's master, and workers that serve and stop just
as the one process does.

aiohttp's own worker closes its listener at once on SIGTERM and knows no drain; ours runs a
`Service`. The master binds and migrates before it forks, replaces workers that die, and passes the
stop signal on. A worker that cannot start says why in one line and ends with gunicorn's boot-error
status, on which the master stops too instead of trying forever.
"""

import asyncio
import logging
import math
import os
import signal
import socket
import sys
from collections.abc import Sequence
from types import FrameType
from typing import Any, cast

from aiohttp.worker import GunicornUVLoopWebWorker
from gunicorn import glogging
from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter
from gunicorn.config import Config
from gunicorn.errors import HaltServer

from plexus_proxy import tasks
from plexus_proxy.config.model import Shutdown
from plexus_proxy.drain import Drain
from plexus_proxy.server.failures import EXPECTED
from plexus_proxy.server.listen import raise_file_limit
from plexus_proxy.server.runner import Builder, rules_of
from plexus_proxy.server.service import Service, tune_collections
from plexus_proxy.settings import Settings

_HEARTBEAT_S = 60
"""A worker whose event loop has not turned for this long is killed and replaced."""
_STOP_MARGIN_S = 30
"""On top of drain and grace: what a worker needs to flush before the master kills it."""

_log = logging.getLogger(__name__)


class Worker(GunicornUVLoopWebWorker):
    """One serving process under the master."""

    async def _run(self) -> None:
        raise_file_limit()
        drain = Drain()
        plan = cast(_Application, self.app)
        application = plan.build(plan.settings, drain)
        service = Service(application, drain, rules_of(application))
        stop = asyncio.Event()
        self._listen_to_signals(stop, service.hurry)
        try:
            await service.start(cast("Sequence[socket.socket]", self.sockets))
        except EXPECTED as error:
            _log.error("cannot start: %s", error)
            sys.exit(Arbiter.WORKER_BOOT_ERROR)
        tune_collections()
        self.booted = True

        async def beat() -> None:
            self.notify()
            if self.ppid != os.getppid():  # the master is gone: nobody could stop or replace us
                stop.set()

        async with tasks.every(1, beat, name="heartbeat"):
            await stop.wait()
            await service.stop()

    def _listen_to_signals(self, stop: asyncio.Event, hurry: asyncio.Event) -> None:
        """SIGTERM stops gracefully, SIGQUIT at once. SIGINT is the master's to judge: a terminal
        sends it to the whole group."""

        def quit_now() -> None:
            hurry.set()
            stop.set()

        self.loop.add_signal_handler(signal.SIGTERM, stop.set)
        self.loop.add_signal_handler(signal.SIGQUIT, quit_now)
        self.loop.add_signal_handler(signal.SIGINT, lambda: None)


class _Logger(glogging.Logger):
    """gunicorn's messages go through our own handler, which masks secrets."""

    def setup(self, cfg: Config) -> None:
        self.cfg = cfg
        self.error_log.propagate = True
        self.error_log.handlers.clear()
        verbose = logging.getLogger().isEnabledFor(logging.DEBUG)
        self.error_log.setLevel(logging.DEBUG if verbose else logging.WARNING)


class _Application(BaseApplication):
    """What gunicorn needs to know, instead of a command line and a config file of its own."""

    def __init__(self, settings: Settings, build: Builder, workers: int, limit_s: int) -> None:
        self.settings = settings
        self.build = build
        self._options: dict[str, object] = {
            "bind": [],
            "workers": workers,
            "worker_class": Worker,
            "logger_class": _Logger,
            "timeout": _HEARTBEAT_S,
            "graceful_timeout": limit_s,
            "worker_tmp_dir": _scratch_folder(settings),
            "control_socket_disable": True,
            "proc_name": "plexus-proxy",
        }
        super().__init__()

    def load_config(self) -> None:
        for name, value in self._options.items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        """gunicorn insists on loading something; workers build the application themselves."""
        return self.build


class _Master(Arbiter):
    """gunicorn's master on sockets that are already bound; Ctrl-C stops as gracefully as SIGTERM,
    and a second signal of either kind stops at once."""

    def __init__(self, app: _Application, sockets: Sequence[socket.socket]) -> None:
        super().__init__(app)
        # As gunicorn does itself; it only ever uses them as plain sockets.
        self.LISTENERS = cast(Any, list(sockets))  # pyright: ignore[reportAttributeAccessIssue]
        self._stopping = False

    def signal(self, sig: int, frame: FrameType | None) -> None:
        again = self._stopping and sig == signal.SIGTERM
        super().signal(signal.SIGQUIT if again else sig, frame)

    def handle_int(self) -> None:
        self.handle_term()

    def halt(self, reason: str | None = None, exit_status: int = 0) -> None:
        self._stopping = True
        super().halt(reason=reason, exit_status=exit_status)

    def reap_workers(self) -> None:
        try:
            super().reap_workers()
        except HaltServer:
            if not self._stopping:  # else a second worker that cannot start would end the halt
                raise


def _scratch_folder(settings: Settings) -> str:
    """For the heartbeat files: in memory, else the one folder that is always writable."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK | os.X_OK) else str(settings.data_dir)


def run_workers(
    settings: Settings,
    build: Builder,
    sockets: Sequence[socket.socket],
    workers: int,
    shutdown: Shutdown,
) -> int:
    """Serve with several processes until a signal asks to stop; the exit status.

    `shutdown` is the config's at start: a longer grace period needs a restart of the master.
    """
    limit_s = math.ceil(shutdown.drain_s + shutdown.grace_s + _STOP_MARGIN_S)
    try:
        _Master(_Application(settings, build, workers, limit_s), sockets).run()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
    return 0
