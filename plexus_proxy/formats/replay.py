"""Opaque state on its way back to the provider that issued it, at its place in the turn."""

from collections.abc import Sequence

from msgspec.structs import replace

from plexus_proxy.formats.anchors import recalled
from plexus_proxy.formats.conversation import (
    Conversation,
    Crossing,
    Part,
    Reasoning,
    Text,
)
from plexus_proxy.formats.events import OpaqueKind


def with_own_reasoning(
    parts: Sequence[Part],
    kinds: Sequence[OpaqueKind],
    conversation: Conversation,
    crossing: Crossing,
) -> Sequence[Part]:
    """The parts of an assistant turn with the thinking its provider issued as state of `kinds`:
    echoed, else remembered, else none.

    Nothing foreign or unsigned is sent: "Invalid signature in thinking block" would be the answer.
    """

    def is_own(part: Reasoning) -> bool:
        state = part.opaque
        return (
            state is not None
            and state.kind in kinds
            and state.issuer == crossing.provider
            and state.model == crossing.model
        )

    kept = [part for part in parts if not isinstance(part, Reasoning) or is_own(part)]
    echoed = [part for part in kept if isinstance(part, Reasoning)]
    if any(part.text_offset for part in echoed):
        return _interleaved([part for part in kept if not isinstance(part, Reasoning)], echoed)
    if echoed:
        return kept
    stateful = [each for each in recalled(kept, crossing) if each.opaque is not None]
    if stateful and all(map(is_own, stateful)):
        return _interleaved(kept, stateful)
    if len(kept) < len(parts):
        conversation.lose("turns.reasoning", crossing)
    return kept


def _interleaved(parts: Sequence[Part], known: Sequence[Reasoning]) -> list[Part]:
    """Each piece of thinking at its place in the turn's text."""
    out: list[Part] = []
    waiting = list(known)
    offset = 0
    for part in parts:
        if not isinstance(part, Text):
            out += [*waiting, part]
            waiting = []
            continue
        text = part.text
        while waiting and waiting[0].text_offset < offset + len(text):
            head = text[: max(0, waiting[0].text_offset - offset)]
            if head:
                out.append(replace(part, text=head, cache=None))
            out.append(waiting.pop(0))
            text, offset = text[len(head) :], offset + len(head)
        out.append(replace(part, text=text))
        offset += len(text)
    return [*out, *waiting]
