"""Selectors order the targets of an alias. Pure: randomness is an argument."""

from collections.abc import Sequence
from random import Random
from typing import TypeVar

from plexus_proxy.config.model import Selector

T = TypeVar("T")


def order(
    candidates: Sequence[T], selector: Selector | None, view: object, random: Random
) -> list[T]:
    """All `candidates`, the one to try first in front. No selector means random.

    Selectors that need measurements, which `view` does not have yet, keep the order of the config.
    """
    if len(candidates) > 1 and selector in (None, "random"):
        return random.sample(candidates, len(candidates))
    return list(candidates)
