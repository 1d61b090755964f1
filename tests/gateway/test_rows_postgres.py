"""The corridor writes the same rows to PostgreSQL."""

import asyncio
from collections.abc import Iterator

import asyncpg
import pytest
from support.gateway import PAIRS, StandBuilder, ask_body
from support.postgres import PostgresServer


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    name = postgres_server.create(migrated=False)
    yield postgres_server.url(name)
    postgres_server.drop(name)


async def test_a_fresh_postgres_is_migrated_and_takes_every_kind_of_row(
    stand_builder: StandBuilder, postgres_url: str
) -> None:
    async with stand_builder.started(DATABASE_URL=postgres_url) as stand:
        for fmt, upstream in PAIRS:
            for stream in (False, True):
                reply = await stand.gateway.ask(fmt, ask_body(fmt, upstream, stream=stream))
                assert reply.status == 200
        await stand.gateway.ask("chat", ask_body("chat", "chat") | {"model": "none"})
    connection = await asyncpg.connect(postgres_url)
    try:
        async with asyncio.timeout(5):
            rows = await connection.fetch("SELECT * FROM usage ORDER BY started_at_ms")
    finally:
        await connection.close()
    served = 2 * len(PAIRS)
    assert [row["status"] for row in rows] == ["success"] * served + ["error"]
    assert {row["total_nano_usd"] for row in rows[:served]} == {142_200}
    assert rows[-1]["error_code"] == "model_not_found"
