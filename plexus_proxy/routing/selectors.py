"""Selectors order the targets of an alias. Pure: randomness is an argument."""

from collections.abc import Sequence
from random import Random
from typing import TypeVar

from plexus_proxy.config.model import Selector

T = TypeVar("T")


def order(items: Sequence[T], selector: Selector | None, random: Random) -> list[T]:
    """All `items`, the one to try first in front. No selector means random.

    Selectors that need measurements keep the order of the config until those exist.
    """
    if len(items) > 1 and selector in (None, "random"):
        return random.sample(items, len(items))
    return list(items)
