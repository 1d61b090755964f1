"""What a model behind the Messages API takes, by its name.

Versions rise, so the newest known generation is also the guess for every later one; a model is
never recognised by a list of names. Servers of other vendors that speak Messages (their models are
not called claude) take sampling, prefill and thinking by budget, and ignore what they do not know;
a web search they might take for a function.
Source: Anthropic documentation, "Models overview", "Extended thinking", "Adaptive thinking",
"Effort", "Structured outputs", "Web search tool", "Migration guide"; messages.md §1-5 of the design
notes.
"""

import re
from typing import Literal

from msgspec import Struct

from plexus_proxy.formats.conversation import Effort
from plexus_proxy.formats.websearch import SearchUse


class Capabilities(Struct, frozen=True, kw_only=True):
    thinking: Literal["none", "budget", "adaptive"]
    efforts: tuple[Effort, ...] = ()
    """Values of output_config.effort, lowest first; empty: the field is unknown to the model."""
    thinks_by_default: bool = False
    sampling: Literal["all", "one", "none"] = "all"
    """one: temperature or top_p, not both."""
    prefill: bool = True
    """The last message may be the assistant's."""
    enforces_schemas: bool = False
    """output_config.format and strict tools."""
    max_output_tokens: int | None = None
    web_search: SearchUse = "always"


_BY_VERSION: tuple[tuple[tuple[int, int], Capabilities], ...] = (
    ((0, 0), Capabilities(thinking="none", max_output_tokens=4096, web_search="never")),
    ((3, 5), Capabilities(thinking="none", max_output_tokens=8192)),
    ((3, 7), Capabilities(thinking="budget", max_output_tokens=64000)),
    ((4, 0), Capabilities(thinking="budget", max_output_tokens=32000)),
    (
        (4, 1),
        Capabilities(
            thinking="budget", sampling="one", enforces_schemas=True, max_output_tokens=32000
        ),
    ),
    (
        (4, 5),
        Capabilities(
            thinking="budget", sampling="one", enforces_schemas=True, max_output_tokens=64000
        ),
    ),
    (
        (4, 6),
        Capabilities(
            thinking="adaptive",
            efforts=("low", "medium", "high", "max"),
            sampling="one",
            prefill=False,
            enforces_schemas=True,
            max_output_tokens=64000,
        ),
    ),
    (
        (4, 7),
        Capabilities(
            thinking="adaptive",
            efforts=("low", "medium", "high", "xhigh", "max"),
            thinks_by_default=True,
            sampling="none",
            prefill=False,
            enforces_schemas=True,
            max_output_tokens=64000,
        ),
    ),
)
_NEWEST = _BY_VERSION[-1][1]
_OTHER_VENDOR = Capabilities(thinking="budget", web_search="never")

_FAMILY_FIRST = re.compile(r"claude-[a-z]+-(\d{1,2})(?:[.-](\d{1,2}))?(?!\d)")
_VERSION_FIRST = re.compile(r"claude-(?:instant-)?v?(\d)(?:[.-](\d))?(?!\d)")
_FIRST_FAMILY_FIRST = 4
"""claude-opus-4 was the first of its kind of name; a smaller number there is no version."""


def capabilities_of(model: str) -> Capabilities:
    """Of a provider's own slug, whatever stands around the name (vendor, region, date)."""
    name = model.lower()
    if "claude" not in name:
        return _OTHER_VENDOR
    version = _version(name)
    if version is None:
        return _NEWEST
    return next(found for least, found in reversed(_BY_VERSION) if version >= least)


def _version(name: str) -> tuple[int, int] | None:
    if match := _VERSION_FIRST.search(name):
        return int(match[1]), int(match[2] or 0)
    match = _FAMILY_FIRST.search(name)
    if match and int(match[1]) >= _FIRST_FAMILY_FIRST:
        return int(match[1]), int(match[2] or 0)
    return None
