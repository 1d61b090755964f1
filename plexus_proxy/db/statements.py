"""The named statements of sql/queries/, and how names join into one statement of a dialect.

aiosql reads the files: `-- name: usage_row(request_id)`, then SQL with `:name` parameters. Each
dialect numbers the parameters with its own mark (`?1` in SQLite, `$1` in PostgreSQL), so that one
row is bound as one tuple.
"""

import re
from collections.abc import Callable
from operator import itemgetter
from pathlib import Path
from typing import Any, cast

from aiosql.adapters.aiosqlite import AioSQLiteAdapter
from aiosql.query_loader import QueryLoader
from aiosql.utils import VAR_REF
from msgspec import Struct

from plexus_proxy.db.database import Query, Row

Values = tuple[Any, ...]


class Statement(Struct, frozen=True):
    """SQL ready for a driver, and how to line up named parameters for it."""

    sql: str
    names: tuple[str, ...]
    values: Callable[[Row], Values]
    """The parameters in the order of `names`; more than the statement needs is no error."""


class StatementSet:
    """All named statements, in one dialect's notation."""

    def __init__(self, folder: Path, mark: str) -> None:
        self._mark = mark
        self._texts = read_statements(folder)
        self._ready: dict[Query, Statement] = {}

    def get(self, query: Query) -> Statement:
        """The statement `query` names. Raises KeyError for an unknown name."""
        found = self._ready.get(query)
        if found is None:
            names = (query,) if isinstance(query, str) else query
            joined = "\n".join(self._texts[name] for name in names)
            found = self._ready[query] = number_parameters(joined, self._mark)
        return found


def read_statements(folder: Path) -> dict[str, str]:
    """Name → SQL of every statement in `folder`'s files. Raises ValueError on a repeated name."""
    as_written = cast(Any, AioSQLiteAdapter())  # its process_sql leaves the text alone
    loader = QueryLoader(as_written, None)
    found: dict[str, str] = {}
    for path in sorted(folder.glob("*.sql")):
        for datum in loader.load_query_data_from_file(path, [], "utf-8"):  # pyright: ignore[reportUnknownMemberType] - aiosql leaves `encoding` untyped
            if datum.query_name in found:
                raise ValueError(f"statement {datum.query_name} exists twice ({path.name})")
            found[datum.query_name] = datum.sql.rstrip().rstrip(";")
    return found


def number_parameters(sql: str, mark: str) -> Statement:
    """`:name` → mark + number, equal names share a number; quoted text is left alone."""
    names: list[str] = []

    def numbered(match: re.Match[str]) -> str:
        name = match["var_name"]
        if name is None:
            return match[0]
        if name not in names:
            names.append(name)
        return f"{match['lead']}{mark}{names.index(name) + 1}"

    text = VAR_REF.sub(numbered, sql)
    return Statement(text, tuple(names), _picker(names))


def _picker(names: list[str]) -> Callable[[Row], Values]:
    if not names:
        return lambda _: ()
    if len(names) == 1:
        (only,) = names
        return lambda params: (params[only],)
    return cast(Callable[[Row], Values], itemgetter(*names))
