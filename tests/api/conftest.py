"""The management API of a running gateway, in front of either database."""

from collections.abc import AsyncIterator

import pytest
from api.management import Api
from support.databases import (
    database,
    database_url,
    empty_database_url,
    outage,
    postgres_server,
)
from support.gateway import StandBuilder, stand, stand_builder

__all__ = [
    "database",
    "database_url",
    "empty_database_url",
    "outage",
    "postgres_server",
    "stand",
    "stand_builder",
]


@pytest.fixture
async def api(stand_builder: StandBuilder, database_url: str) -> AsyncIterator[Api]:
    async with stand_builder.started(DATABASE_URL=database_url) as running:
        yield Api(running.gateway)
