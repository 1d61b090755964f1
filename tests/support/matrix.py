"""A gateway in front of one server that can play every format."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.fake_provider import FakeProvider, fake_provider
from support.gateway import Stand, StandBuilder

FORMATS = ("chat", "messages", "responses", "gemini")
Matrix = tuple[Stand, FakeProvider]


@pytest.fixture
async def matrix(matrix_builder: StandBuilder) -> AsyncIterator[Matrix]:
    """A gateway whose alias `to-<format>` leads to one server that can play every format."""
    async with matrix_builder.started() as running:
        yield running, running.chat


@pytest.fixture
async def matrix_builder(tmp_path: Path) -> AsyncIterator[StandBuilder]:
    """The same, not started; any number of gateways may be, on one database."""
    async with fake_provider() as upstream:
        builder = StandBuilder(tmp_path, upstream, upstream)
        builder.config["providers"] = {
            fmt: {
                "api_base_url": {fmt: upstream.url},
                "api_key": "k",
                "models": {f"up-{fmt}": {}},
            }
            for fmt in FORMATS
        }
        builder.config["models"] = {
            f"to-{fmt}": {"targets": [{"provider": fmt, "model": f"up-{fmt}"}]} for fmt in FORMATS
        }
        yield builder
