"""JSON that a careless program sends: a good value, bent in a few places."""

import copy
from collections.abc import Iterator
from typing import Any, cast

from hypothesis import strategies as st

ODD: list[Any] = [
    None, True, False, 0, -1, 1.5, 1e308, 2**63, 10**30, "", " ", "x", "\x00\u2028", "\ud83d",
    "{", "[]", "null", "data:;base64,", "gw1.", [], {}, [None], [[]], [{}], {"type": "unheard_of"},
    {"type": None}, {"text": 1}, "é😀" * 30,
]  # fmt: skip
"""Wrong types, wrong sizes, empty things, half an emoji, JSON that is none."""
WAYS = ("replace", "replace", "remove", "repeat", "borrow")


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """(container, key) of everything within."""
    inner: list[tuple[Any, Any]] = []
    if isinstance(value, dict):
        inner = list(cast("dict[str, Any]", value).items())
    elif isinstance(value, list):
        inner = list(enumerate(cast("list[Any]", value)))
    for key, each in inner:
        yield value, key
        yield from places(each)


def odd() -> st.SearchStrategy[Any]:
    return st.integers(0, len(ODD) - 1).map(lambda at: copy.deepcopy(ODD[at]))


@st.composite
def bent(draw: st.DrawFn, value: Any, most: int = 3) -> Any:
    """`value` with one to `most` of its members replaced, removed, repeated or swapped around."""
    out = copy.deepcopy(value)
    for _ in range(draw(st.integers(1, most))):
        found = list(places(out))
        if not found:
            return draw(odd())
        container, key = found[draw(st.integers(0, len(found) - 1))]
        way = draw(st.sampled_from(WAYS))
        if way == "remove":
            del container[key]
        elif way == "repeat" and isinstance(container, list):
            items = cast("list[Any]", container)
            items.insert(key, copy.deepcopy(items[key]))
        elif way == "borrow":
            source, name = found[draw(st.integers(0, len(found) - 1))]
            container[key] = copy.deepcopy(source[name])
        else:
            container[key] = draw(odd())
    return out
