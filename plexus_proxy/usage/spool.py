"""Usage rows on local disk while the database is away: JSON lines in files of this process.

A file belongs to the process that holds its lock (flock). The kernel drops the lock when a process
dies, so that whoever looks next, a sibling worker or the next start, finds the file unlocked, takes
it over and brings its rows home. A file is removed once all its rows are in the database; replaying
one twice does no harm, because a row that is there already is not inserted again.

Blocking calls throughout: the recorder runs them on a thread.
"""

import fcntl
import logging
import os
import secrets
from collections.abc import Iterable
from pathlib import Path

import msgspec

from plexus_proxy.usage.record import UsageRow, decode_row, encode_row
from plexus_proxy.usage.scrub import scrub

_log = logging.getLogger(__name__)

LIMIT_BYTES = 256 * 1024 * 1024
SEGMENT_BYTES = 4 * 1024 * 1024
_PATTERN = "usage-*.jsonl"


class SpoolFull(OSError):
    """This process has spooled as much as it may."""


class Segment:
    """One locked file."""

    __slots__ = ("_fd", "path", "size")

    def __init__(self, path: Path, fd: int, size: int) -> None:
        self.path = path
        self._fd = fd
        self.size = size

    def append(self, data: bytes) -> None:
        """All of `data` on the disk, or nothing of it."""
        try:
            written = 0
            while written < len(data):
                written += os.write(self._fd, data[written:])
            os.fsync(self._fd)
        except OSError:
            os.ftruncate(self._fd, self.size)
            raise
        self.size += len(data)

    def rows(self) -> list[UsageRow]:
        """Its rows; a line cut by a crash is passed over."""
        rows: list[UsageRow] = []
        unreadable = 0
        with os.fdopen(os.dup(self._fd), "rb") as file:
            file.seek(0)
            for line in file:
                try:
                    rows.append(decode_row(line))
                except (msgspec.DecodeError, UnicodeDecodeError):
                    unreadable += 1
        if unreadable:
            _log.error("%d unreadable usage rows in %s are lost", unreadable, self.path.name)
        return rows

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)
        self.release()

    def release(self) -> None:
        os.close(self._fd)


class Spool:
    """The folder of spooled rows, as one process sees it."""

    def __init__(
        self, folder: Path, *, limit_bytes: int = LIMIT_BYTES, segment_bytes: int = SEGMENT_BYTES
    ) -> None:
        self._folder = folder
        self._limit_bytes = limit_bytes
        self._segment_bytes = segment_bytes
        self._active: Segment | None = None
        self._sealed: list[Segment] = []

    @property
    def waiting(self) -> bool:
        """This process holds rows that are to be replayed."""
        return self._active is not None or bool(self._sealed)

    def append(self, rows: Iterable[UsageRow]) -> None:
        """Keep the rows; they survive a crash from here on. Raises OSError, SpoolFull."""
        data = b"".join(_line(row) for row in rows)
        held = sum(segment.size for segment in self._sealed)
        held += self._active.size if self._active else 0
        if held + len(data) > self._limit_bytes:
            raise SpoolFull(f"the spool holds {held} bytes and may not hold more")
        if self._active is None:
            self._active = self._create()
        self._active.append(data)
        if self._active.size >= self._segment_bytes:
            self._seal()

    def claim(self) -> list[Segment]:
        """Everything to be replayed: our own rows and those of processes that have died.

        Rows appended from now on go to another file.
        """
        self._seal()
        ours = {segment.path for segment in self._sealed}
        for path in sorted(self._folder.glob(_PATTERN)):
            if path not in ours and (orphan := _take_over(path)) is not None:
                self._sealed.append(orphan)
        return list(self._sealed)

    def finish(self, segment: Segment) -> None:
        """All rows of a claimed segment are in the database."""
        self._sealed.remove(segment)
        segment.remove()

    def close(self) -> None:
        """Leave what is waiting to the next process."""
        self._seal()
        while self._sealed:
            self._sealed.pop().release()

    def _seal(self) -> None:
        if self._active is not None:
            self._sealed.append(self._active)
            self._active = None

    def _create(self) -> Segment:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._folder / f"usage-{os.getpid()}-{secrets.token_hex(4)}.jsonl"
        fd = os.open(path, os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_RDWR, 0o600)
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return Segment(path, fd, 0)


def _take_over(path: Path) -> Segment | None:
    """The file if nobody holds it."""
    try:
        fd = os.open(path, os.O_APPEND | os.O_RDWR)
    except OSError:  # replayed and removed meanwhile, or of another user
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(fd)
        return None
    return Segment(path, fd, os.fstat(fd).st_size)


def _line(row: UsageRow) -> bytes:
    try:
        return encode_row(row) + b"\n"
    except UnicodeEncodeError:
        return encode_row(scrub(row)) + b"\n"
