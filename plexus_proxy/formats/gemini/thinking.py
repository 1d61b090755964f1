"""How much a Gemini model shall think: by a budget of tokens or by a level, never by both.

Source: Gemini API documentation, "Thinking"; translation rules §9 of the design notes.
"""

from msgspec import Struct

from plexus_proxy.formats.conversation import Effort, ReasoningControl
from plexus_proxy.formats.effort import effort_of_budget, nearest
from plexus_proxy.formats.gemini.capabilities import Budgets, Capabilities
from plexus_proxy.formats.gemini.types import ThinkingConfig

_DYNAMIC = -1
_BUDGETS: dict[Effort, int] = {
    "minimal": 512,
    "low": 1024,
    "medium": 8192,
    "high": 24576,
    "xhigh": 32768,
}


class Plan(Struct, frozen=True):
    """`lost`: the client wanted it otherwise."""

    config: ThinkingConfig | None = None
    lost: bool = False


def plan(control: ReasoningControl | None, known: Capabilities) -> Plan:
    """An empty config is worse than none, so what says nothing is left out."""
    if control in (None, ReasoningControl(), ReasoningControl(show=False)):
        return Plan()
    is_off = _is_off(control)
    if known.thinking == "none":
        return Plan(lost=not is_off and control != ReasoningControl(show=True))
    config = ThinkingConfig(
        include_thoughts=True if control.show is not False and not is_off else None,
        thinking_budget=_budget(control, known.budgets) if known.thinking == "budget" else None,
        thinking_level=_level(control, known.levels) if known.thinking == "level" else None,
    )
    stays_on = is_off and config.thinking_budget != 0
    return Plan(None if config == ThinkingConfig() else config, lost=stays_on)


def _is_off(control: ReasoningControl) -> bool:
    return control.enabled is False or _effort(control) == "none"


def _effort(control: ReasoningControl) -> Effort | None:
    if control.effort is None and control.budget_tokens is not None:
        return effort_of_budget(control.budget_tokens)
    return control.effort


def _budget(control: ReasoningControl, budgets: Budgets) -> int | None:
    if _is_off(control):
        return budgets.off
    budget, effort = control.budget_tokens, control.effort
    if budget is None or budget <= 0:
        if effort is None:
            return _DYNAMIC if control.enabled or control.adaptive else None
        budget = _BUDGETS.get(effort, budgets.most)
    return min(max(budget, budgets.least), budgets.most)


def _level(control: ReasoningControl, levels: tuple[Effort, ...]) -> str | None:
    effort = "none" if _is_off(control) else _effort(control)
    if effort is None:
        return None
    return (levels[0] if effort == "none" else nearest(effort, levels)).upper()
