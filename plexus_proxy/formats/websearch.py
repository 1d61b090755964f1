"""The web search that a provider executes, as what it is in all four formats: one tool with a few
options. Which of them a format has is said by its request writer; the others are lost by name."""

from collections.abc import Collection
from typing import Literal

from msgspec import Struct

from plexus_proxy.formats.conversation import (
    Conversation,
    Crossing,
    Location,
    Tool,
    WebSearch,
)

NAME = "web_search"
"""What the tool is called where it must have a name."""

SearchUse = Literal["never", "alone", "always"]
"""When a model takes the tool: not at all, without functions beside it, or in any case."""

_OPTIONS = ("allowed_domains", "blocked_domains", "location", "max_uses", "context_size")
_DEFAULT_SIZE = "medium"


class UserLocation(Struct, frozen=True, omit_defaults=True):
    """A location as Messages and Responses write it."""

    type: str | None = None
    city: str | None = None
    region: str | None = None
    country: str | None = None
    timezone: str | None = None


def read_location(told: UserLocation | None) -> Location | None:
    """None for one that says nothing."""
    if told is None:
        return None
    found = Location(told.city, told.region, told.country, told.timezone)
    return None if found == Location() else found


def write_location(location: Location | None) -> UserLocation | None:
    if location is None:
        return None
    return UserLocation(
        "approximate", location.city, location.region, location.country, location.timezone
    )


def offered_search(
    conversation: Conversation,
    crossing: Crossing,
    use: SearchUse,
    *,
    carried: Collection[str],
    barrable: bool = True,
) -> WebSearch | None:
    """The search that the client declares, if the model takes it.

    `carried` are the options that can be written, the others are recorded as lost. `barrable`: a
    tool choice of none would keep the model from searching."""
    search = next((each for each in conversation.tools if isinstance(each, WebSearch)), None)
    choice = conversation.tool_choice
    if not barrable and choice is not None and choice.mode == "none":
        return None
    has_functions = any(isinstance(each, Tool) for each in conversation.tools)
    if search is None or use == "never" or (use == "alone" and has_functions):
        return None
    crossing.searches = True
    for option in _OPTIONS:
        value = getattr(search, option)
        if value and value != _DEFAULT_SIZE and option not in carried:
            conversation.lose(f"search.{option}", crossing)
    return search
