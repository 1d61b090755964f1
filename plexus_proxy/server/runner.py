"""One process: bind, serve, stop on SIGTERM or SIGINT."""

import asyncio
import signal
import socket
from collections.abc import Callable, Sequence

import uvloop
from aiohttp import web

from plexus_proxy.config.store import CONFIG
from plexus_proxy.drain import Drain
from plexus_proxy.server.listen import raise_file_limit
from plexus_proxy.server.service import Rules, Service, tune_collections
from plexus_proxy.settings import Settings

Builder = Callable[[Settings, Drain], web.Application]
"""`app.build`; tests bring an application of their own."""


def rules_of(app: web.Application) -> Callable[[], Rules]:
    """The server's part of the config, read from the current snapshot each time."""

    def current() -> Rules:
        config = app[CONFIG].current.config
        return Rules(limits=config.limits, shutdown=config.shutdown)

    return current


def run(
    settings: Settings,
    build: Builder,
    sockets: Sequence[socket.socket],
    on_ready: Callable[[], None] = lambda: None,
) -> None:
    """Serve until a signal asks to stop, and stop gracefully. Raises what the start raises."""
    raise_file_limit()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as loop:
        loop.run(_serve(settings, build, sockets, on_ready))


async def _serve(
    settings: Settings,
    build: Builder,
    sockets: Sequence[socket.socket],
    on_ready: Callable[[], None],
) -> None:
    drain = Drain()
    app = build(settings, drain)
    service = Service(app, drain, rules_of(app))
    stop = asyncio.Event()

    def on_signal() -> None:
        if stop.is_set():
            service.hurry.set()
        stop.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)
    await service.start(sockets)
    tune_collections()
    on_ready()
    await stop.wait()
    await service.stop()
