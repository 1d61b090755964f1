"""A gateway in front of one server that can play every format."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.fake_provider import FakeProvider, fake_provider
from support.gateway import Stand, StandBuilder

FORMATS = ("chat", "messages", "responses", "gemini")
Matrix = tuple[Stand, FakeProvider]


@pytest.fixture
async def matrix(tmp_path: Path) -> AsyncIterator[Matrix]:
    """A gateway whose alias `to-<format>` leads to one server that can play every format."""
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
        async with builder.started() as running:
            yield running, upstream
