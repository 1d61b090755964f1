"""The config in force: read at start, followed while it changes, swapped by one reference.

An edit is noticed by watching the file's folder, and by a look at the file every second where
watching says nothing (network file systems, bind mounts, a symlink's far end). What decides is the
content. A new text is read off the loop into a whole new snapshot; one that has errors changes
nothing. The last good text is kept in DATA_DIR, so that a start during a bad edit has something to
start from.
"""

import asyncio
import logging
import os
import sys
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from aiohttp import web
from msgspec import Struct
from watchfiles import Change, awatch  # pyright: ignore[reportUnknownVariableType] - trio

from plexus_proxy import tasks
from plexus_proxy.config.apart import Unavailable, load_apart
from plexus_proxy.config.files import replace_file
from plexus_proxy.config.load import UnreadableFile, load, locate, read_text
from plexus_proxy.config.problems import Problem
from plexus_proxy.config.snapshot import Snapshot
from plexus_proxy.settings import Settings

LAST_GOOD = "plexus.last-good.yaml"
_CONFIG_MAP_LINK = "..data"
_POLL_S = 0.8
_WATCH_STEP_MS = 100
"""The watching thread takes the interpreter from the loop each time it looks."""
_SETTLE_S = 0.05
"""A file that changes again within this time is still being written."""
_LARGE_CHARS = 32_768
"""What takes longer than some 15 ms to read is read by another process."""
_SWITCH_S = 0.0005
_LOGGED_PROBLEMS = 20

_log = logging.getLogger(__name__)

State = Literal["ok", "invalid", "last_good"]


class Status(Struct, frozen=True):
    """What GET /health/config says. Problems name places and types, never values."""

    state: State
    """invalid: the file has errors, an earlier one is in force; last_good: so at start already."""
    loaded_at: str
    """When the config in force was read, ISO 8601."""
    problems: tuple[str, ...]
    """Of the file as it is on the disk."""


class UnusableConfig(Exception):
    """There is no config to start from; the message lists what is wrong, a line each."""


class _Reading(Struct, frozen=True):
    """One look at the file, or at the last good text."""

    source: str | Problem
    """The text, or why there is none."""
    snapshot: Snapshot | None
    problems: Sequence[Problem]

    def __repr__(self) -> str:
        return f"_Reading({len(self.problems)} problems)"


_Signature = tuple[int, int, int, int, int] | None


class ConfigStore:
    """Holds the snapshot. Requests take `current` once and keep it."""

    current: Snapshot

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._path = locate(settings)
        self._last_good = settings.data_dir / LAST_GOOD
        self._refreshing = asyncio.Lock()
        self._seen: _Signature = None
        self._source: str | Problem | None = None
        """What the file was when it was last read."""
        self._state: State = "ok"
        self._problems: Sequence[Problem] = ()
        self._loaded_at = datetime.now(UTC)
        self.on_change: list[Callable[[Snapshot, Snapshot], None]] = []
        """Told of the snapshot before and after each reload; must not raise."""

    def status(self) -> Status:
        return Status(
            state=self._state,
            loaded_at=self._loaded_at.isoformat(timespec="seconds"),
            problems=tuple(str(each) for each in self._problems),
        )

    async def start(self) -> None:
        """Read the file, or else the last good text. Raises UnusableConfig."""
        self._seen = _signature(self._path)
        reading, usable = await asyncio.to_thread(_first_reading, self._settings)
        if reading.snapshot is usable:
            await self._take(reading, usable)
            return
        self.current = usable
        self._note_bad(reading, "last_good")
        _log.error("STARTED FROM THE LAST GOOD CONFIG, %s: mend %s", self._last_good, self._path)

    @asynccontextmanager
    async def following(self) -> AsyncGenerator[None]:
        """Follow the file for as long as the context lasts."""
        async with (
            tasks.running(self._watch(), name="config watch"),
            tasks.every(_POLL_S, self._poll, name="config poll"),
        ):
            yield

    async def _watch(self) -> None:
        folder = self._path.absolute().parent
        try:
            async for _ in awatch(
                folder,
                watch_filter=self._concerns_us,
                debounce=_WATCH_STEP_MS,
                step=_WATCH_STEP_MS,
                recursive=False,
            ):
                await self.refresh()
        except OSError as error:
            _log.warning("%s cannot be watched (%s); looking once a second", folder, error)

    def _concerns_us(self, change: Change, path: str) -> bool:
        """The file itself, or the symlink that a ConfigMap's update swaps."""
        return Path(path).name in (self._path.name, _CONFIG_MAP_LINK)

    async def _poll(self) -> None:
        if _signature(self._path) != self._seen:
            await self.refresh()

    async def refresh(self) -> None:
        """Take the file's text if it is new and good."""
        async with self._refreshing:
            signature = _signature(self._path)
            while True:
                await asyncio.sleep(_SETTLE_S)
                settled = _signature(self._path)
                if settled == signature:
                    break
                signature = settled
            self._seen = signature
            source = await asyncio.to_thread(_source_of, self._path)
            if source == self._source:
                return
            reading = await self._read(source)
            if reading.snapshot is not None:
                await self._take(reading, reading.snapshot)
                _log.info("config reloaded from %s", self._path)
            else:
                self._note_bad(reading, "last_good" if self._state == "last_good" else "invalid")

    async def _read(self, source: str | Problem) -> _Reading:
        """Without keeping the loop from its requests."""
        settings = self._settings
        if isinstance(source, str) and len(source) > _LARGE_CHARS:
            try:
                found, problems = await load_apart(
                    source, settings.environment, loopback=settings.loopback
                )
            except Unavailable as error:
                _log.warning("no process of its own could read the config: %s", error)
            else:
                return _Reading(source, found, problems)
        return await asyncio.to_thread(_read, source, settings)

    async def _take(self, reading: _Reading, snapshot: Snapshot) -> None:
        if self.on_change:  # nobody listens before there is a first config
            for tell in self.on_change:
                tell(self.current, snapshot)
        self.current = snapshot
        self._source = reading.source
        self._state = "ok"
        self._problems = reading.problems
        self._loaded_at = datetime.now(UTC)
        if reading.problems:
            _log.warning("%s", _listed(f"{self._path}:", reading.problems))
        assert isinstance(reading.source, str)
        try:
            await asyncio.to_thread(self._keep, reading.source)
        except OSError as error:
            _log.warning("the config could not be kept in %s: %s", self._last_good, error)

    def _keep(self, text: str) -> None:
        self._last_good.parent.mkdir(parents=True, exist_ok=True)
        replace_file(self._last_good, text)

    def _note_bad(self, reading: _Reading, state: State) -> None:
        self._source = reading.source
        self._state = state
        self._problems = reading.problems
        _log.error("%s", _listed(f"{self._path} is not used, it has errors:", reading.problems))


def usable_snapshot(settings: Settings) -> Snapshot:
    """What a start would run on, for who needs to know before there is a loop.

    Raises UnusableConfig."""
    return _first_reading(settings)[1]


def _first_reading(settings: Settings) -> tuple[_Reading, Snapshot]:
    """The file, and what to start from: its snapshot, or else that of the last good text."""
    path = locate(settings)
    reading = _read(_source_of(path), settings)
    if reading.snapshot is not None:
        return reading, reading.snapshot
    kept = _read(_source_of(settings.data_dir / LAST_GOOD), settings)
    if kept.snapshot is None:
        raise UnusableConfig(_listed(f"{path} cannot be used:", reading.problems))
    return reading, kept.snapshot


def _source_of(path: Path) -> str | Problem:
    try:
        return read_text(path)
    except UnreadableFile as error:
        return Problem("", None, "error", str(error))


def _read(source: str | Problem, settings: Settings) -> _Reading:
    if isinstance(source, Problem):
        return _Reading(source, None, (source,))
    with _yielding():
        found, problems = load(source, settings.environment, loopback=settings.loopback)
    return _Reading(source, found, problems)


@contextmanager
def _yielding() -> Generator[None]:
    """While a thread computes, let the loop's thread have the interpreter ten times as often as
    usual."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(_SWITCH_S)
    try:
        yield
    finally:
        sys.setswitchinterval(usual)


def _signature(path: Path) -> _Signature:
    """What changes when a file does; None if it is not there. Follows symlinks."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _listed(head: str, problems: Sequence[Problem]) -> str:
    lines = [head, *(f"  {each}" for each in problems[:_LOGGED_PROBLEMS])]
    if len(problems) > _LOGGED_PROBLEMS:
        lines.append(f"  and {len(problems) - _LOGGED_PROBLEMS} more: see plexus-proxy check")
    return "\n".join(lines)


CONFIG = web.AppKey("config", ConfigStore)


def config_store(
    settings: Settings,
) -> Callable[[web.Application], AbstractAsyncContextManager[None]]:
    """For `app.cleanup_ctx`: the started ConfigStore under CONFIG."""

    @asynccontextmanager
    async def context(app: web.Application) -> AsyncGenerator[None]:
        store = ConfigStore(settings)
        await store.start()
        app[CONFIG] = store
        async with store.following():
            yield

    return context
