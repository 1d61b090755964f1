"""docs/API.md names every route, parameter and field there is, and no error that is not."""

import re
from pathlib import Path
from typing import Any

import pytest

from plexus_proxy.api.performance import CacheView, PerformanceView
from plexus_proxy.api.usage import AttemptView, UsageView
from plexus_proxy.app import build
from plexus_proxy.drain import Drain
from plexus_proxy.errors import TimedOut
from plexus_proxy.manage.usage import read_usage_query
from plexus_proxy.settings import read_settings

DOCUMENT = (Path(__file__).parent.parent.parent / "docs" / "API.md").read_text()
QUOTED = set(re.findall(r"`([^`\n]+)`", DOCUMENT))
PATHS = {word for quote in QUOTED for word in re.findall(r"/[^\s,]*", quote)}
CATCH_ALL = "{path}"


def routes(folder: Path) -> set[str]:
    app = build(read_settings({"DATA_DIR": str(folder)}), Drain())
    return {route.resource.canonical for route in app.router.routes() if route.resource}


def test_every_route_is_named(tmp_path: Path) -> None:
    wired = {path for path in routes(tmp_path) if not path.endswith(CATCH_ALL)}
    assert len(wired) > 10
    assert wired - {"/ui/"} <= PATHS
    assert "/ui/" in DOCUMENT


def test_every_path_named_is_a_route(tmp_path: Path) -> None:
    wired = routes(tmp_path)
    named = {path for path in PATHS if path.startswith(("/v0/", "/v1/", "/ui/", "/health"))}
    assert named - {"/v0/management", "/ui/…"} <= wired


@pytest.mark.parametrize("view", [UsageView, AttemptView, PerformanceView, CacheView])
def test_every_field_of_a_row_is_named(view: Any) -> None:
    words = set(re.findall(r"\w+", " ".join(QUOTED)))
    assert set(view.__struct_encode_fields__) <= words


def test_every_parameter_is_named() -> None:
    read: set[str] = set()

    class Noting(dict[str, str]):
        def get(self, key: str, default: Any = None) -> Any:
            read.add(key)
            return default

    read_usage_query(Noting())
    assert len(read) > 10
    assert read <= QUOTED


def test_every_time_out_is_named() -> None:
    assert set(TimedOut.CODES.values()) <= QUOTED
