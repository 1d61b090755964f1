"""What is wrong with a config: one Problem per place, never with a value in its words.

A message names keys, types and what was expected. Values stay out: any of them can be a secret.
"""

from typing import Literal

from msgspec import Struct

Severity = Literal["error", "warning"]


class Problem(Struct, frozen=True):
    """One thing to mend; `str()` is the line an operator reads."""

    path: str
    """Such as `models.smart.targets[0].provider`; empty for the file as a whole."""
    line: int | None
    """Counted from 1."""
    severity: Severity
    message: str

    def __str__(self) -> str:
        place = self.path
        if self.line is not None:
            place = f"{place} (line {self.line})" if place else f"line {self.line}"
        words = f"warning: {self.message}" if self.severity == "warning" else self.message
        return f"{place}: {words}" if place else words


class Problems:
    """Collects problems while a config is read."""

    def __init__(self) -> None:
        self.found: list[Problem] = []
        self.wrong: set[str] = set()
        """The paths of errors."""

    @property
    def failed(self) -> bool:
        return bool(self.wrong)

    def error(self, path: str, line: int | None, message: str) -> None:
        self.wrong.add(path)
        self.found.append(Problem(path, line, "error", message))

    def warning(self, path: str, line: int | None, message: str) -> None:
        self.found.append(Problem(path, line, "warning", message))

    def in_file_order(self) -> list[Problem]:
        return sorted(self.found, key=lambda each: each.line or 0)


def child(path: str, key: str) -> str:
    """The path of `key` below `path`; quoted where a plain name would be ambiguous."""
    plain = key and not any(mark in key for mark in '. []"')
    name = key if plain else '"' + key.replace('"', '\\"') + '"'
    return f"{path}.{name}" if path else name
