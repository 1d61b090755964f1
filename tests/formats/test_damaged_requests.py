"""Requests with anything in the wrong place: a clear refusal or a conversation, never a crash."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.golden import crossing

from plexus_proxy.errors import PlexusError
from plexus_proxy.formats.format import Asked
from plexus_proxy.formats.registry import FORMATS

T = TypeVar("T")
SAMPLES = sorted((Path(__file__).parent.parent / "samples").glob("*.request.json"))
DEPTHS = pytest.mark.parametrize("depth", ["few", pytest.param("many", marks=pytest.mark.long)])
MODELS = ["sample-1", "claude-opus-9", "gpt-5.1", "gemini-3-pro"]

ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["", " ", "x", "user", "tool", "text", "auto", "data:,", "gw1.x", "\0"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["type", "role", "content", "text", "id"]), inner)
    ),
    max_leaves=5,
)


def places_in(value: Any) -> list[tuple[Any, Any]]:
    """Every (container, key) of a JSON value."""
    found: list[tuple[Any, Any]] = []
    holder: Any = value
    if isinstance(value, dict | list):
        for key in list(holder) if isinstance(value, dict) else range(len(holder)):
            found += [(holder, key), *places_in(holder[key])]
    return found


@DEPTHS
@pytest.mark.parametrize(
    "sample", SAMPLES, ids=lambda path: path.name.removesuffix(".request.json")
)
@given(st.data())
def test_a_damaged_request_is_refused_or_understood(
    sample: Path, depth: str, data: st.DataObject
) -> None:
    body = json.loads(sample.read_text())
    for _ in range(data.draw(st.integers(1, 3))):
        places = places_in(body)
        if not places:
            break
        holder, key = data.draw(st.sampled_from(places))
        if data.draw(st.booleans()) and isinstance(holder, dict):
            del holder[key]
        else:
            holder[key] = data.draw(ANYTHING)
    fmt = FORMATS[sample.name.partition(".")[0]]
    conversation, refusal = tried(
        lambda: fmt.read_request(json.dumps(body).encode(), Asked("alias", stream=False))
    )
    if conversation is None:
        assert str(refusal)
        return
    for other in FORMATS.values():
        over = crossing(model=data.draw(st.sampled_from(MODELS)))
        written, _ = tried(lambda: other.write_request(conversation, over))  # noqa: B023 - at once
        if written is not None:
            assert isinstance(json.loads(written), dict)


def tried(read: Callable[[], T]) -> tuple[T, None] | tuple[None, PlexusError]:
    """What it gives, or the refusal it raises, which is the client's to hear."""
    try:
        return read(), None
    except PlexusError as error:
        refusal = error
    assert 400 <= refusal.status < 500
    return None, refusal


@DEPTHS
@pytest.mark.parametrize("name", FORMATS)
@given(st.binary(max_size=60) | ANYTHING.map(lambda value: json.dumps(value).encode()))
def test_what_is_no_request_is_refused(name: str, depth: str, body: bytes) -> None:
    fmt = FORMATS[name]
    tried(lambda: fmt.read_call(body, Asked("alias", stream=False)))
    tried(lambda: fmt.read_request(body, Asked("alias", stream=False)))
