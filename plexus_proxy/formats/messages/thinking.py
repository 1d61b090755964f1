"""How much a Messages provider shall think, and how long its answer may be.

Three generations of models want it said in three ways; max_tokens is required, and must exceed the
budget. Source: Anthropic documentation, "Extended thinking", "Adaptive thinking", "Effort";
translation rules §5, §7, §9.
"""

from msgspec import Struct

from plexus_proxy.formats.conversation import Effort, ReasoningControl
from plexus_proxy.formats.effort import effort_of_budget, nearest
from plexus_proxy.formats.messages.capabilities import Capabilities
from plexus_proxy.formats.messages.types import MIN_BUDGET_TOKENS, Thinking

REASONING_MAX_TOKENS = 32000
"""max_tokens of a client that gave none, where the model steers its own thinking."""

_BUDGETS: dict[Effort, int] = {
    "minimal": 1024,
    "low": 2048,
    "medium": 8192,
    "high": 16384,
    "xhigh": 32768,
    "max": 63999,
}
_DISABLED = Thinking("disabled")


class Plan(Struct, frozen=True, kw_only=True):
    """`active` is whether the model will think; `lost` that the client wanted it otherwise."""

    max_tokens: int
    thinking: Thinking | None = None
    effort: str | None = None
    active: bool = False
    lost: bool = False


class Limits(Struct, frozen=True):
    """max_tokens: what the client asked for, and what it gets if it did not."""

    asked: int | None
    default: int

    def otherwise(self, at_least: int, known: Capabilities) -> int:
        tokens = self.asked or max(self.default, at_least)
        if self.asked is None and known.max_output_tokens is not None:
            return min(tokens, known.max_output_tokens)
        return tokens


def plan(
    control: ReasoningControl | None,
    known: Capabilities,
    limits: Limits,
    *,
    forced: bool,
    loop_intact: bool,
) -> Plan:
    """`forced`: tool_choice forces a tool, which rules out thinking the client did not ask for.

    `loop_intact`: the running tool loop still has the thinking it began with; a model that thinks
    by budget refuses to go on thinking without.
    """
    plain = limits.otherwise(0, known)
    if control is None or _says_nothing(control):
        if not known.thinks_by_default:
            return Plan(max_tokens=plain)
        if forced:
            return Plan(max_tokens=plain, thinking=_DISABLED)
        return Plan(max_tokens=limits.otherwise(REASONING_MAX_TOKENS, known), active=True)
    if known.thinking == "none":
        return Plan(max_tokens=plain, lost=not _is_off(control))
    if _is_off(control):
        return Plan(max_tokens=plain, thinking=_DISABLED)
    if known.thinking == "adaptive":
        return Plan(
            max_tokens=limits.otherwise(REASONING_MAX_TOKENS, known),
            thinking=Thinking(
                "adaptive", display="omitted" if control.show is False else "summarized"
            ),
            effort=_effort(control, known),
            active=True,
        )
    if not loop_intact:
        return Plan(max_tokens=plain, thinking=_DISABLED, lost=True)
    return _by_budget(control, known, limits)


def _says_nothing(control: ReasoningControl) -> bool:
    return control == ReasoningControl(show=control.show)


def _is_off(control: ReasoningControl) -> bool:
    return (
        control.enabled is False
        or control.effort == "none"
        or (control.budget_tokens is not None and effort_of_budget(control.budget_tokens) == "none")
    )


def _effort(control: ReasoningControl, known: Capabilities) -> Effort | None:
    effort = control.effort
    if effort is None and control.budget_tokens is not None:
        effort = effort_of_budget(control.budget_tokens)
    return nearest(effort, known.efforts) if effort and known.efforts else None


def _by_budget(control: ReasoningControl, known: Capabilities, limits: Limits) -> Plan:
    budget = control.budget_tokens or 0
    if budget <= 0:
        budget = _BUDGETS[control.effort or "medium"]
    budget = max(budget, MIN_BUDGET_TOKENS)
    if limits.asked is None:
        max_tokens = limits.otherwise(budget + limits.default, known)
        budget = min(budget, max_tokens - min(limits.default, max_tokens // 2))
    else:
        max_tokens = limits.asked
        budget = min(budget, max_tokens - 1)
    if budget < MIN_BUDGET_TOKENS:
        return Plan(max_tokens=max_tokens, thinking=_DISABLED, lost=True)
    thinking = Thinking("enabled", budget_tokens=budget)
    return Plan(max_tokens=max_tokens, thinking=thinking, active=True)
