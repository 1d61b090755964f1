"""What all tests share."""

from typing import Any
from unittest.mock import Mock

import aiohttp
import aioresponses.core
import pytest
from hypothesis import HealthCheck, settings

# Once for all: a session's fixture that two folders import would be two PostgreSQL servers in one.
pytest_plugins = [
    "support.canary",
    "support.grammar_watch",
    "support.postgres",
    "support.databases",
    "support.gateway",
    "support.matrix",
]

# Quick runs try the same examples every time; `-m long` explores.
settings.register_profile("quick", max_examples=60, deadline=None, derandomize=True, database=None)
settings.register_profile(
    "long",
    max_examples=2000,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)


class _MockedResponse(aiohttp.ClientResponse):
    """aioresponses 0.7.9 does not know `stream_writer`, which aiohttp 3.14 insists on."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("stream_writer", Mock())
        super().__init__(*args, **kwargs)


aioresponses.core.ClientResponse = _MockedResponse


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden",
        action="store_true",
        help="rewrite the expected files of tests/golden; review the diff",
    )
    parser.addoption(
        "--update-docs",
        action="store_true",
        help="rewrite the pages that tests generate (docs/TRANSLATION.md); review the diff",
    )


def pytest_configure(config: pytest.Config) -> None:
    settings.load_profile("long" if config.option.markexpr == "long" else "quick")


@pytest.fixture
def update_golden(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--update-golden"))


@pytest.fixture
def update_docs(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--update-docs"))
