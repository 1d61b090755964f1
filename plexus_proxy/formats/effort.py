"""How much to think: words and token budgets, each as the other. Source: translation rules §9."""

from collections.abc import Sequence

from plexus_proxy.formats.conversation import Effort

EFFORTS: tuple[Effort, ...] = ("none", "minimal", "low", "medium", "high", "xhigh", "max")

_UNSET_BUDGET = -1
_BUDGET_LIMITS: tuple[tuple[int, Effort], ...] = (
    (0, "none"),
    (1024, "minimal"),
    (4096, "low"),
    (12288, "medium"),
    (24576, "high"),
)


def effort_of_budget(tokens: int) -> Effort | None:
    """None: the budget leaves it to the model."""
    if tokens == _UNSET_BUDGET:
        return None
    for limit, effort in _BUDGET_LIMITS:
        if tokens <= limit:
            return effort
    return "xhigh"


def nearest(effort: Effort, known: Sequence[Effort]) -> Effort:
    """The known effort nearest to `effort`, the lower one when two are as near.

    No thinking at all is near to nothing but itself."""
    if effort in known:
        return effort
    wanted = EFFORTS.index(effort)
    some: list[Effort] = [each for each in known if each != "none"]
    return min(some, key=lambda each: (abs(EFFORTS.index(each) - wanted), EFFORTS.index(each)))


def known_effort(word: str | None) -> Effort | None:
    """A client's word as an effort; None if it is not one."""
    return next((each for each in EFFORTS if each == word), None)
