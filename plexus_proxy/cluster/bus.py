"""Messages between the processes that share a database: something of a topic has changed.

They carry ids and never what the ids stand for, which each process reads from the database if it
cares. A message may come late by a second, twice, or stand for many (ids ""), yet none is lost for
good: what could not be sent or heard turns into "anything may have happened".
"""

import asyncio
import logging
from collections.abc import Callable

from plexus_proxy.cluster.backoff import Backoff
from plexus_proxy.db.database import Database, Unavailable

MAX_IDS_BYTES = 4000
"""PostgreSQL takes less than 8000 bytes for all of a message."""
_MAX_WAITING = 1000
_GATHER_S = 0.02
"""What is published within this time travels together."""

Heard = Callable[[str], None]

_log = logging.getLogger(__name__)


class Bus:
    """Publishes and hears for one process, whose id is `sender`."""

    def __init__(self, database: Database, sender: str) -> None:
        self._database = database
        self._sender = sender
        self._subscribers: dict[str, list[Heard]] = {}
        self._waiting: dict[tuple[str, str], None] = {}
        """Topic and ids in the order of their publishing; equal ones are one."""
        self._published = asyncio.Event()
        self.listening = asyncio.Event()
        """Set while nothing that others publish is missed."""

    def publish(self, topic: str, ids: str = "") -> None:
        """Tell the other processes. `topic` is a word; never waits and never fails."""
        self._waiting[topic, ids if _fits(ids) else ""] = None
        if len(self._waiting) > _MAX_WAITING:
            self._forget_ids()
        self._published.set()

    def subscribe(self, topic: str, heard: Heard) -> None:
        """Call `heard` with the ids of each message of another process, on the loop.

        With "" anything may have happened: so after every gap, and once listening begins.
        """
        self._subscribers.setdefault(topic, []).append(heard)

    async def send(self) -> None:
        """Send what waits, now. Raises Unavailable; then it waits on, without its ids."""
        sending, self._waiting = self._waiting, {}
        notices = [
            f"{self._sender} {topic} {ids}"
            for topic, ids in sending
            if not ids or (topic, "") not in sending
        ]
        if not notices:
            return
        try:
            await self._database.notify(notices)
        except BaseException:
            self._waiting = sending | self._waiting
            self._forget_ids()
            raise

    async def keep_sending(self) -> None:
        """The one background writer; runs until cancelled."""
        backoff = Backoff("other processes are told of nothing")
        while True:
            await self._published.wait()
            await asyncio.sleep(_GATHER_S)
            self._published.clear()
            try:
                await self.send()
                backoff.succeeded()
            except Unavailable as error:
                self._published.set()
                await asyncio.sleep(backoff.failed(error))
            except Exception:
                _log.exception("a message to other processes cannot be sent")

    async def keep_listening(self) -> None:
        """Hears what others publish; runs until cancelled."""
        backoff = Backoff("nothing is heard of other processes")

        def listening() -> None:
            backoff.succeeded()
            self.listening.set()
            self._tell_all()

        while True:
            try:
                await self._database.listen(self._hear, listening)
            except Unavailable as error:
                failure: Exception = error
            except Exception as error:
                _log.exception("listening to other processes failed")
                failure = error
            self.listening.clear()
            await asyncio.sleep(backoff.failed(failure))

    def _hear(self, notice: str) -> None:
        sender, _, rest = notice.partition(" ")
        if sender == self._sender:
            return
        topic, _, ids = rest.partition(" ")
        for heard in self._subscribers.get(topic, ()):
            _call(heard, ids)

    def _tell_all(self) -> None:
        for subscribers in self._subscribers.values():
            for heard in subscribers:
                _call(heard, "")

    def _forget_ids(self) -> None:
        self._waiting = {(topic, ""): None for topic, _ in self._waiting}


def _call(heard: Heard, ids: str) -> None:
    try:
        heard(ids)
    except Exception:
        _log.exception("a message of another process was not understood")


def _fits(ids: str) -> bool:
    """Whether both databases can carry it."""
    if len(ids) > MAX_IDS_BYTES or "\0" in ids:
        return False
    try:
        return len(ids.encode()) <= MAX_IDS_BYTES
    except UnicodeEncodeError:
        return False
