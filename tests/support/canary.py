"""No secret leaves: a pytest plugin that watches the whole suite.

Every value that becomes a `Secret` during the session is remembered, and so is what tests mint with
`canary()`. After each test all log records it caused, and the databases and spools in its temporary
folder, are searched for every one of them. Bodies sent to clients and `repr`s of live objects are
searched by the gateway's own tests with `leaks_in`.
"""

import logging
import re
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from plexus_proxy.crypto import Secret

MIN_CHARS = 12
"""Shorter values are words of a test, not secrets: they would be found anywhere."""

_known: dict[str, set[str]] = {}
"""By their first MIN_CHARS characters: tests make tens of thousands, each text is read once."""
_WORD = re.compile(rf"[^\s\0]{{{MIN_CHARS},}}")
_spaced: set[str] = set()
"""Known ones that are no single word."""


def _know(value: str) -> None:
    if _WORD.fullmatch(value):
        _known.setdefault(value[:MIN_CHARS], set()).add(value)
    else:
        _spaced.add(value)


def canary(kind: str = "sk") -> str:
    """A secret nobody else has; `kind` tells which one it was, should it turn up."""
    value = f"{kind}-canary-{secrets.token_hex(12)}"
    _know(value)
    return value


def leaks_in(text: str) -> list[str]:
    """The known secrets in `text`, shortened so that the report is no leak itself."""
    found = {value for value in _spaced if value in text}
    for word in set(_WORD.findall(text)):
        for at in range(len(word) - MIN_CHARS + 1):
            candidates = _known.get(word[at : at + MIN_CHARS], ())
            found.update(value for value in candidates if word.startswith(value, at))
    return sorted(f"{value[: MIN_CHARS + 4]}…" for value in found)


class _Collector(logging.Handler):
    """Finished lines with tracebacks, before any masking: code must not rely on that."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []
        self.setFormatter(logging.Formatter("%(name)s %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


def pytest_configure() -> None:
    plain = Secret.__init__

    def remembering(self: Secret, value: str) -> None:
        plain(self, value)
        if len(value) >= MIN_CHARS:
            _know(value)

    Secret.__init__ = remembering  # type: ignore[method-assign]  # an observer, nothing changes


@pytest.fixture(autouse=True)
def no_secret_leaves(request: pytest.FixtureRequest) -> Iterator[None]:
    collector = _Collector()
    root = logging.getLogger()
    root.addHandler(collector)
    folder: Path | None = None
    if "tmp_path" in request.fixturenames:
        folder = request.getfixturevalue("tmp_path")
    yield
    root.removeHandler(collector)
    if found := leaks_in("\n".join(collector.lines)):
        pytest.fail(f"secrets in the log: {found}")
    for path, found in leaks_on_disk(folder) if folder else ():
        pytest.fail(f"secrets in {path.name}: {found}")


def leaks_on_disk(folder: Path) -> Iterator[tuple[Path, list[str]]]:
    """Databases (with their journals) and spools below `folder` that hold a secret."""
    for path in folder.rglob("*"):
        stored = path.is_file() and (".db" in path.name or "spool" in path.parts)
        if stored and (found := leaks_in(path.read_bytes().decode("latin-1"))):
            yield path, found
