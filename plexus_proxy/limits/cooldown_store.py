"""Cooldowns in the database: shared by all processes within a second, and kept over restarts.

What changes here is written behind: a request never waits for it. Other processes hear of it and
read the table again, which is small.
"""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, suppress

import msgspec
from aiohttp import web

from plexus_proxy import tasks
from plexus_proxy.cluster.bus import Bus
from plexus_proxy.cluster.cluster import CLUSTER
from plexus_proxy.cluster.leases import every_once
from plexus_proxy.config.model import Provider, TargetKey
from plexus_proxy.config.snapshot import Snapshot
from plexus_proxy.config.store import CONFIG
from plexus_proxy.db.database import DATABASE, Conflict, Database, Rejected, Unavailable
from plexus_proxy.limits.cooldowns import Cooldown, Cooldowns

TOPIC = "cooldowns"
RELOAD_S = 5.0
"""A net below the messages."""
CLEAN_S = 3600.0
KEEP_MS = 86_400_000
"""For how long the count of a target that has failed outlives its cooldown."""
_BATCH = 500
_RETRY_S = 1.0
_FIRST_S = 1.0
_LAST_S = 1.0

_log = logging.getLogger(__name__)


class SharedCooldowns:
    """Keeps `cooldowns` and the table equal."""

    def __init__(
        self, cooldowns: Cooldowns, database: Database, bus: Bus, clock: Callable[[], int]
    ) -> None:
        self._cooldowns = cooldowns
        self._database = database
        self._bus = bus
        self._clock = clock
        self._dirty: dict[TargetKey, None] = {}
        """What has changed here."""
        self._ended: dict[TargetKey, int] = {}
        """Of these, what was taken away → when; there may be a new entry since."""
        self._is_away = False
        self._work = asyncio.Event()
        self._stale = True
        """The table may say something else than we know."""
        self._storing = asyncio.Lock()
        cooldowns.changed = self._note
        bus.subscribe(TOPIC, self._heard)

    def _note(self, key: TargetKey) -> None:
        self._dirty[key] = None
        if self._cooldowns.entry(key) is None:
            self._ended[key] = self._clock()
        self._work.set()

    def _heard(self, ids: str) -> None:
        self._stale = True
        self._work.set()

    async def keep_equal(self) -> None:
        """Write and read for as long as it runs."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(RELOAD_S):
                    await self._work.wait()
            if not self._work.is_set():
                self._stale = True
            self._work.clear()
            try:
                done = await self.round()
            except Exception:
                _log.exception("cooldowns cannot be shared")
                done = False
            if not done:
                await asyncio.sleep(_RETRY_S)
                self._work.set()

    async def round(self) -> bool:
        """Write what has changed, then read what others have written. False if the database does
        not answer; then the changes wait."""
        try:
            async with self._storing:
                await self._write()
                if self._stale:
                    self._stale = False
                    await self._read()
        except Unavailable as error:
            self._stale = True
            if not self._is_away:
                _log.warning("cooldowns are known to this process only: %s", error)
            self._is_away = True
            return False
        self._is_away = False
        return True

    async def _write(self) -> None:
        """Raises Unavailable."""
        while self._dirty:
            keys = sorted(self._dirty)[:_BATCH]
            entries = {key: self._cooldowns.entry(key) for key in keys}
            ended = {key: self._ended[key] for key in keys if key in self._ended}
            try:
                await self._store(entries, ended)
            except (Conflict, Rejected):
                await self._store_with_care(entries, ended)
            for key in keys:
                if self._ended.get(key) == ended.get(key):
                    self._ended.pop(key, None)
                    if self._cooldowns.entry(key) is entries[key]:
                        self._dirty.pop(key, None)
            self._bus.publish(TOPIC)

    async def _store(
        self, entries: Mapping[TargetKey, Cooldown | None], ended: Mapping[TargetKey, int]
    ) -> None:
        """In the order of the keys: two processes must not wait for each other. What has ended is
        deleted also for the sake of a new entry, which would be put on top of the old one. Raises
        Unavailable, Conflict, Rejected."""
        deleted = [
            {"provider": provider, "model": model, "since_ms": at_ms}
            for (provider, model), at_ms in ended.items()
        ]
        put = [msgspec.structs.asdict(each) for each in entries.values() if each is not None]
        async with self._database.transaction() as transaction:
            await transaction.execute_many("cooldown_delete", deleted)
            await transaction.execute_many("cooldown_put", put)

    async def _store_with_care(
        self, entries: Mapping[TargetKey, Cooldown | None], ended: Mapping[TargetKey, int]
    ) -> None:
        """One by one, without those that the database does not take. Raises Unavailable."""
        for key, entry in entries.items():
            try:
                await self._store({key: entry}, {key: ended[key]} if key in ended else {})
            except (Conflict, Rejected) as error:
                _log.warning("a cooldown cannot be shared: %s", error)

    async def _read(self) -> None:
        """Raises Unavailable."""
        rows = await self._database.fetch_all("cooldown_rows")
        known: dict[TargetKey, Cooldown] = {}
        for row in rows:
            entry = msgspec.convert(row, Cooldown, strict=False)
            known[entry.key] = entry
        for key in {*known, *self._cooldowns.keys()} - self._dirty.keys():
            self._cooldowns.learn(key, known.get(key))

    async def clean(self) -> None:
        """Delete what was over long ago. Raises Unavailable."""
        await self._database.execute("cooldowns_delete_before", before_ms=self._clock() - KEEP_MS)
        self._bus.publish(TOPIC)
        self._heard("")


def changed_credentials(before: Snapshot, after: Snapshot) -> Iterator[str]:
    """Providers that are signed in to in another way than before."""
    providers = before.config.providers
    for provider_id, provider in after.config.providers.items():
        known = providers.get(provider_id)
        if known is not None and _credential(known) != _credential(provider):
            yield provider_id


def _credential(provider: Provider) -> tuple[object, ...]:
    return provider.api_key, provider.api_base_url, provider.headers, provider.oauth_provider


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


COOLDOWNS: web.AppKey[Cooldowns] = web.AppKey("cooldowns", Cooldowns)


@asynccontextmanager
async def cooldowns(app: web.Application) -> AsyncGenerator[None]:
    """For `app.cleanup_ctx`, after the config and the cluster: the Cooldowns under COOLDOWNS."""
    cluster = app[CLUSTER]
    found = app[COOLDOWNS] = Cooldowns()
    shared = SharedCooldowns(found, app[DATABASE], cluster.bus, _now_ms)
    await tasks.at_most(_FIRST_S, shared.round(), name="load cooldowns")

    def follow(before: Snapshot, after: Snapshot) -> None:
        for provider_id in changed_credentials(before, after):
            found.credential_changed(provider_id)

    app[CONFIG].on_change.append(follow)
    async with (
        tasks.running(shared.keep_equal(), name="share cooldowns"),
        every_once(cluster.leases, "clean cooldowns", CLEAN_S, shared.clean),
    ):
        yield
    await tasks.at_most(_LAST_S, shared.round(), name="store cooldowns")
