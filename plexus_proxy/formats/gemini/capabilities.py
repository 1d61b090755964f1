"""What a model behind the Gemini API takes, by its name.

Versions rise, so a later model is taken to be like the newest known, and so is one whose name gives
no version (gemini-flash-latest). Models of other names (gemma) get the plainest requests. Sources:
Gemini API documentation, "Thinking", "Thought signatures", "Function calling", "Structured
outputs", "Grounding with Google Search"; gemini.md §2-4 and translation rules §9 of the design
notes.
"""

import re
from typing import Literal

from msgspec import Struct

from plexus_proxy.formats.conversation import Effort
from plexus_proxy.formats.websearch import SearchUse


class Budgets(Struct, frozen=True):
    """Token budgets of thinking. `off` is what comes nearest to none at all."""

    least: int
    most: int
    off: int = 0


class Capabilities(Struct, frozen=True, kw_only=True):
    thinking: Literal["none", "budget", "level"] = "none"
    budgets: Budgets = Budgets(0, 0)
    levels: tuple[Effort, ...] = ()
    """Values of thinkingLevel, lowest first."""
    json_schema: bool = True
    """parametersJsonSchema and responseJsonSchema; others know the Schema subset only."""
    json_with_tools: bool = False
    """Structured output beside functions."""
    wants_signatures: bool = False
    """A call of the current turn must carry a thoughtSignature."""
    call_ids: bool = False
    media_in_responses: bool = False
    """functionResponse.parts."""
    web_search: SearchUse = "alone"


_OTHER_VENDOR = Capabilities(json_schema=False, web_search="never")
_PLAIN = Capabilities()
_NEWER = Capabilities(
    thinking="level",
    levels=("low", "medium", "high"),
    json_with_tools=True,
    wants_signatures=True,
    call_ids=True,
    media_in_responses=True,
    web_search="always",
)
_FLASH_3 = Capabilities(
    thinking="level",
    levels=("minimal", "low", "medium", "high"),
    json_with_tools=True,
    wants_signatures=True,
    call_ids=True,
    media_in_responses=True,
    web_search="always",
)
_PRO_BUDGETS = Budgets(128, 32768, off=128)
_FLASH_BUDGETS = Budgets(0, 24576)
_LITE_BUDGETS = Budgets(512, 24576)

_VERSION = re.compile(r"gemini-(\d+)(?:\.(\d+))?")
_FIRST_JSON_SCHEMA = (2, 0)
_FIRST_THINKING = (2, 5)
_FIRST_LEVELS = (3, 0)
_LAST_MINIMAL = (3, 1)
"""Later Flash models refuse thinkingLevel MINIMAL, which Pro models always did."""


def capabilities_of(model: str) -> Capabilities:
    """Of a provider's own slug, whatever stands around the name."""
    name = model.lower()
    if "gemini" not in name:
        return _OTHER_VENDOR
    match = _VERSION.search(name)
    if match is None:
        return _NEWER
    version = int(match[1]), int(match[2] or 0)
    if version >= _FIRST_LEVELS:
        return _FLASH_3 if version <= _LAST_MINIMAL and "pro" not in name else _NEWER
    if version >= _FIRST_THINKING and "-image" not in name and "-tts" not in name:
        return Capabilities(thinking="budget", budgets=_budgets(name))
    return _PLAIN if version >= _FIRST_JSON_SCHEMA else _OTHER_VENDOR


def _budgets(name: str) -> Budgets:
    if "pro" in name:
        return _PRO_BUDGETS
    return _LITE_BUDGETS if "lite" in name else _FLASH_BUDGETS
