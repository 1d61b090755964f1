"""What this process shares with the others on the same database, in one place."""

import asyncio
import logging
import os
import secrets
import socket
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

from aiohttp import web

from plexus_proxy import tasks
from plexus_proxy.cluster.bus import Bus
from plexus_proxy.cluster.leases import Leases
from plexus_proxy.cluster.members import BEAT_S, Members
from plexus_proxy.cluster.revisions import Revisions
from plexus_proxy.config.store import CONFIG
from plexus_proxy.db.database import DATABASE, Database, Unavailable

_STOP_S = 0.4
"""For each of the two steps of a stop: a database that hangs does not hold it up."""

_log = logging.getLogger(__name__)


class Cluster:
    """The shared state of all processes as this one sees it.

    `config_digest` says on which config it runs; it is asked before each beat.
    """

    def __init__(self, database: Database, config_digest: Callable[[], str]) -> None:
        id = secrets.token_hex(8)
        self._config_digest = config_digest
        self.bus = Bus(database, id)
        self.leases = Leases(database, id, _now_ms)
        self.members = Members(database, _now_ms, id=id, host=socket.gethostname(), pid=os.getpid())
        self.revisions = Revisions(database, self.bus)

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Take part for as long as the context lasts. Neither way waits for the database."""
        work = [
            tasks.spawn(self.bus.keep_listening(), name="listen to other processes"),
            tasks.spawn(self.bus.keep_sending(), name="tell other processes"),
            tasks.spawn(self._keep_beating(), name="members"),
        ]
        try:
            yield
        finally:
            for task in work:
                task.cancel()
            await asyncio.wait(work, timeout=_STOP_S)
            await tasks.at_most(_STOP_S, self._leave(), name="leave the members")

    async def _keep_beating(self) -> None:
        while True:
            self.members.note_config(self._config_digest())
            try:
                await self.members.beat()
            except Exception:
                _log.exception("other processes cannot be told that this one lives")
            await asyncio.sleep(BEAT_S)

    async def _leave(self) -> None:
        try:
            await self.bus.send()
            await self.members.leave()
        except Unavailable:
            return  # the row will expire


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


CLUSTER: web.AppKey[Cluster] = web.AppKey("cluster", Cluster)


@asynccontextmanager
async def cluster(app: web.Application) -> AsyncGenerator[None]:
    """For `app.cleanup_ctx`, after the config and the database: the cluster under CLUSTER."""
    config = app[CONFIG]
    shared = app[CLUSTER] = Cluster(app[DATABASE], lambda: config.current.text_digest)
    async with shared.running():
        yield
