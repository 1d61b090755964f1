"""Config files on the disk: written so that a reader sees the old text or the new, never half."""

import os
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

PRIVATE_MODE = 0o600
"""Configs hold secrets: nobody else reads what we create."""


def replace_file(path: Path, text: str, *, like: Path | None = None) -> None:
    """Put `text` in place of a file, by rename and on the disk when it returns. Raises OSError.

    `like`: whose mode and owner it gets; else only we may read it."""
    temporary = write_beside(path, text, PRIVATE_MODE)
    try:
        if like is not None:
            _take_after(temporary, like)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def _take_after(path: Path, model: Path) -> None:
    found = model.stat()
    if (found.st_uid, found.st_gid) != (os.geteuid(), os.getegid()):
        with suppress(PermissionError):  # only root can give files away
            os.chown(path, found.st_uid, found.st_gid)
    path.chmod(stat.S_IMODE(found.st_mode))


def overwrite_file(path: Path, text: str) -> None:
    """Write into the very file that is there; on the disk when it returns. Raises OSError."""
    with path.open("r+b") as file:
        file.write(text.encode())
        file.truncate()
        file.flush()
        os.fsync(file.fileno())


def create_file(path: Path, text: str) -> None:
    """The same by rename, but only if nothing is there. Raises FileExistsError and OSErrors."""
    temporary = write_beside(path, text, PRIVATE_MODE)
    try:
        path.hardlink_to(temporary)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links: as exclusive, but seen while it grows
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, PRIVATE_MODE))
        overwrite_file(path, text)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)


def write_beside(path: Path, text: str, mode: int) -> Path:
    """A new file with `text` in the folder of `path`, complete and on the disk. Raises OSError."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    temporary = Path(name)
    try:
        with open(handle, "w", encoding="utf-8", newline="") as file:
            file.write(text)
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return temporary


def sync_folder(folder: Path) -> None:
    """Make a rename last. Some file systems cannot; the rename itself has happened then."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError:
        pass
    finally:
        os.close(handle)
