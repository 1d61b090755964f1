"""Connections to providers: made, kept for the next request, closed when they have been idle."""

import asyncio
import socket
import ssl
from collections.abc import Sequence
from typing import Any

from aiohappyeyeballs import start_connection  # pyright: ignore[reportUnknownVariableType]

from plexus_proxy.upstream.connection import Connection, Origin

KEEP_IDLE_S = 55.0
"""A little less than the 60 seconds after which common load balancers hang up."""
SWEEP_S = 5.0
_ADDRESSES_S = 60.0
_FAILED_S = 1.0
_HAPPY_EYEBALLS_S = 0.25  # RFC 8305 §5

_Addresses = Sequence[tuple[Any, ...]]


class Pool:
    """All connections of one process. Lives on one event loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._open: set[Connection] = set()
        self._idle: dict[Origin, dict[Connection, float]] = {}
        """With the time since when; oldest first."""
        self._names = _Names(self._loop)
        self._tls: ssl.SSLContext | None = None

    def take(self, origin: Origin) -> Connection | None:
        """The connection that became idle last."""
        idle = self._idle.get(origin)
        while idle:
            connection, _ = idle.popitem()
            if connection.usable:
                return connection
        return None

    async def connect(self, origin: Origin) -> Connection:
        """A new connection. Raises OSError (ssl.SSLError, socket.gaierror are some)."""
        addresses = await self._names.resolve(origin.host, origin.port)
        sock = await start_connection(
            addresses, happy_eyeballs_delay=_HAPPY_EYEBALLS_S, loop=self._loop
        )
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            _, connection = await self._loop.create_connection(
                lambda: Connection(origin, self._loop, released=self._released, lost=self._forget),
                sock=sock,
                ssl=self._tls_context() if origin.secure else None,
                server_hostname=origin.host if origin.secure else None,
            )
        except BaseException:
            sock.close()
            raise
        self._open.add(connection)
        return connection

    def sweep(self) -> None:
        """Close what has been idle for too long."""
        oldest = self._loop.time() - KEEP_IDLE_S
        for origin, idle in list(self._idle.items()):
            for connection in [each for each, since in idle.items() if since < oldest]:
                del idle[connection]
                connection.close()
            if not idle:
                del self._idle[origin]

    def close(self) -> None:
        for connection in list(self._open):
            connection.abort()

    def _released(self, connection: Connection) -> None:
        if connection in self._open:
            self._idle.setdefault(connection.origin, {})[connection] = self._loop.time()

    def _forget(self, connection: Connection) -> None:
        self._open.discard(connection)
        if idle := self._idle.get(connection.origin):
            idle.pop(connection, None)

    def _tls_context(self) -> ssl.SSLContext:
        if self._tls is None:
            self._tls = ssl.create_default_context()
            self._tls.set_alpn_protocols(["http/1.1"])
        return self._tls


class _Names:
    """Addresses of host names, kept for a minute."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._known: dict[tuple[str, int], tuple[float, _Addresses | OSError]] = {}
        self._asking: dict[tuple[str, int], asyncio.Lock] = {}

    async def resolve(self, host: str, port: int) -> _Addresses:
        """Each time another address comes first, so that load spreads. Raises OSError."""
        name = (host, port)
        if (found := self._lookup(name)) is None:
            async with self._asking.setdefault(name, asyncio.Lock()):  # one question for all
                if (found := self._lookup(name)) is None:
                    found = await self._ask(name)
            self._asking.pop(name, None)
        if isinstance(found, OSError):
            raise found
        return found

    def _lookup(self, name: tuple[str, int]) -> _Addresses | OSError | None:
        until, found = self._known.get(name, (0.0, ()))
        if until < self._loop.time():
            return None
        if not isinstance(found, OSError):
            self._known[name] = (until, (*found[1:], *found[:1]))
        return found

    async def _ask(self, name: tuple[str, int]) -> _Addresses | OSError:
        found: _Addresses | OSError
        try:
            found = await self._loop.getaddrinfo(*name, type=socket.SOCK_STREAM)
            lasting = _ADDRESSES_S
        except OSError as error:
            found, lasting = error, _FAILED_S
        except UnicodeError as error:
            found, lasting = socket.gaierror(str(error)), _FAILED_S
        self._known[name] = (self._loop.time() + lasting, found)
        return found
