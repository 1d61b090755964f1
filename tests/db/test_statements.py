"""The named statements: read, joined, numbered, and accepted by both databases."""

import sqlite3
from pathlib import Path

import asyncpg
import pytest
from support.postgres import PostgresServer

from plexus_proxy.db.open import migrate
from plexus_proxy.db.statements import StatementSet, number_parameters, read_statements
from plexus_proxy.resources import QUERIES


def test_parameters_are_numbered_in_the_order_of_their_first_use() -> None:
    statement = number_parameters("SELECT :b, :a, :b", "$")
    assert statement.sql == "SELECT $1, $2, $1"
    assert statement.values({"a": 1, "b": 2, "unused": 3}) == (2, 1)


@pytest.mark.parametrize("names", [(), ("a",), ("a", "b")])
def test_values_are_a_tuple_whatever_their_number(names: tuple[str, ...]) -> None:
    statement = number_parameters("SELECT " + ", ".join(f":{name}" for name in names), "?")
    assert statement.values({"a": 1, "b": 2}) == (1, 2)[: len(names)]


def test_quoted_text_and_casts_are_no_parameters() -> None:
    statement = number_parameters("""SELECT ':no', ":no", x::text, :yes""", "?")
    assert statement.sql == """SELECT ':no', ":no", x::text, ?1"""
    assert statement.names == ("yes",)


def test_joined_names_make_one_statement_with_shared_parameters(tmp_path: Path) -> None:
    (tmp_path / "things.sql").write_text(
        "-- name: things(a)\nSELECT * FROM thing WHERE a = :a;\n\n"
        "-- name: and_b(a, b)\n-- A comment.\nAND b = :b AND c = :a;\n"
    )
    statements = StatementSet(tmp_path, "$")
    joined = statements.get(("things", "and_b"))
    assert joined.sql == "SELECT * FROM thing WHERE a = $1\nAND b = $2 AND c = $1"
    assert statements.get("things").sql == "SELECT * FROM thing WHERE a = $1"
    with pytest.raises(KeyError):
        statements.get("nothing")


def test_a_name_given_twice_is_refused(tmp_path: Path) -> None:
    for name in ("a.sql", "b.sql"):
        (tmp_path / name).write_text("-- name: same()\nSELECT 1;\n")
    with pytest.raises(ValueError, match="same exists twice"):
        read_statements(tmp_path)


# What cannot stand alone is prepared behind each statement it is made for.
HEADS = {"AND": ("usage_rows", "usage_count"), "ORDER": ("usage_rows",), "ON": ("usage_insert",)}


def _whole_statements() -> list[tuple[str, ...]]:
    whole: list[tuple[str, ...]] = []
    for name, sql in read_statements(QUERIES).items():
        heads = HEADS.get(sql.split()[0])
        whole += [(head, name) for head in heads] if heads else [(name,)]
    return whole


def test_every_fragment_has_a_statement_to_stand_behind() -> None:
    complete = {"SELECT", "INSERT", "UPDATE", "DELETE", "WITH"}
    for name, sql in read_statements(QUERIES).items():
        assert sql.split()[0] in complete | HEADS.keys(), name


@pytest.mark.parametrize("query", _whole_statements(), ids="+".join)
def test_sqlite_prepares_every_statement(query: tuple[str, ...], tmp_path: Path) -> None:
    migrate(f"sqlite://{tmp_path / 'a.db'}")
    statement = StatementSet(QUERIES, "?").get(query)
    connection = sqlite3.connect(tmp_path / "a.db")
    connection.execute(f"EXPLAIN {statement.sql}", (None,) * len(statement.names))
    connection.close()


async def test_postgres_prepares_every_statement(postgres_server: PostgresServer) -> None:
    name = postgres_server.create()
    connection = await asyncpg.connect(postgres_server.url(name))
    statements = StatementSet(QUERIES, "$")
    for query in _whole_statements():
        prepared = await connection.prepare(statements.get(query).sql)
        assert len(prepared.get_parameters()) == len(statements.get(query).names), query
    await connection.close()
    postgres_server.drop(name)
