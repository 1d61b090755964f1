"""plexus.yaml → a Snapshot, or everything that is wrong with it.

text → tree.py (values with lines) → convert.py (Structs, all type errors, `${NAME}`) →
references.py (what belongs together) → snapshot.py. Pure but for `check_file`; a large file takes
seconds, so a server calls `load` off its loop.
"""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from plexus_proxy.config.convert import Conversion
from plexus_proxy.config.model import Config
from plexus_proxy.config.problems import Problem, Problems
from plexus_proxy.config.references import References
from plexus_proxy.config.snapshot import Snapshot, snapshot_of
from plexus_proxy.config.tree import read_tree
from plexus_proxy.settings import Settings

FILE_NAME = "plexus.yaml"
NO_ENVIRONMENT: Mapping[str, str] = MappingProxyType({})


def load(
    text: str, environment: Mapping[str, str] = NO_ENVIRONMENT, *, loopback: bool = True
) -> tuple[Snapshot | None, list[Problem]]:
    """The snapshot (None if there is any error) and all problems in the order of the file.

    `environment` is what `${NAME}` may name. `loopback`: only this machine can reach the server, so
    that published sample secrets may pass with a warning.
    """
    problems = Problems()
    root = read_tree(text, problems)
    if root is None:
        return None, problems.in_file_order()
    fields = Conversion(problems, environment).fields(Config, root, "")
    References(root, fields, problems).check(loopback=loopback)
    found = problems.in_file_order()
    if problems.failed:
        return None, found
    return snapshot_of(Config(**fields), text), found


def check_file(
    path: Path, environment: Mapping[str, str] = NO_ENVIRONMENT, *, loopback: bool = True
) -> list[Problem]:
    """All problems of a file, also that it cannot be read."""
    try:
        text = read_text(path)
    except UnreadableFile as error:
        return [Problem("", None, "error", str(error))]
    return load(text, environment, loopback=loopback)[1]


class UnreadableFile(Exception):
    """The file is not there, may not be read, or is not UTF-8; the message names it."""


def read_text(path: Path) -> str:
    """A config file's text; line ends stay as they are. Raises UnreadableFile."""
    try:
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise UnreadableFile(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise UnreadableFile(f"{path}: line {line} is not UTF-8 text") from error


def locate(settings: Settings) -> Path:
    """Where the config is or is to be: CONFIG_FILE, else ./config, else DATA_DIR if it is there."""
    if settings.config_file is not None:
        return settings.config_file
    usual = Path("config") / FILE_NAME
    fallback = settings.data_dir / FILE_NAME
    return fallback if not usual.exists() and fallback.exists() else usual
