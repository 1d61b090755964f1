"""What a fault says about the time after it: the words that faults and cooldowns share."""

from typing import Literal

from msgspec import Struct

Cause = Literal[
    "auth",
    "permission",
    "billing",
    "quota",
    "rate_limit",
    "model",
    "overloaded",
    "server",
    "network",
    "timeout",
    "stall",
    "operator",
]
"""Why a target is left alone."""

Source = Literal["header", "body", "text", "default"]
"""Where the length of a cooldown comes from; default: the provider did not say."""


class Cooling(Struct, frozen=True, kw_only=True, gc=False):
    """That a target is to be left alone for a while."""

    cause: Cause
    hard: bool
    """Not to be tried before the time is over, whatever else is left. Soft ones may be, as a last
    resort."""
    account_wide: bool
    """It concerns all models of the provider."""
    seconds: float | None = None
    """As the provider states; None: by the policy, longer with each failure in a row."""
    source: Source = "default"
    message: str = ""
    """What the provider said: bounded, without secrets."""
