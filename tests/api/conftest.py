"""The management API of a running gateway, in front of either database."""

from collections.abc import AsyncIterator

import pytest
from api.management import Api
from support.gateway import StandBuilder


@pytest.fixture
async def api(stand_builder: StandBuilder, database_url: str) -> AsyncIterator[Api]:
    async with stand_builder.started(DATABASE_URL=database_url) as running:
        yield Api(running.gateway)
