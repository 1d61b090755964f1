"""What a turn's reasoning is found by again when its client has not sent it back.

A turn with tool calls is known by the calls' ids, which every client repeats; any other by its
text. Ids of calls whose turn has reasoning reach the client with a mark, so that a later request
says by itself, to whichever process it comes, for which calls something was kept. The mark is taken
off before a provider sees the id.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence

from msgspec import Struct
from msgspec.structs import replace

from plexus_proxy.formats.conversation import (
    Conversation,
    Crossing,
    Part,
    Reasoning,
    Text,
    ToolCall,
    ToolResult,
    Turn,
)

MARK = "_gw"
"""Legal in the ids of all formats, and short: Chat Completions allows an id 40 characters."""
_MARK_BYTES = MARK.encode() + b'"'
_MARKED_ID = re.compile(rb'("(?:id|tool_call_id|tool_use_id|call_id)"\s*:\s*"[^"\\]*)_gw(?=")')
MAX_TEXTS = 8
"""Of so many of the newest turns without calls the reasoning is looked up."""


class Sought(Struct, frozen=True):
    """The anchors of the turns that came back without their reasoning."""

    anchors: tuple[str, ...] = ()
    awaited: frozenset[str] = frozenset()
    """Those of the running tool loop: what was kept for them may still be on its way."""


def mark(tool_id: str) -> str:
    """The id as the client is to see it, of a call for whose turn reasoning will be kept."""
    return tool_id + MARK


def text_anchor(text: str) -> str:
    """Of a turn without calls; clients may trim what they show."""
    return "text:" + hashlib.sha256(text.strip().encode("utf-8", "surrogatepass")).hexdigest()


def anchors_of(parts: Sequence[Part]) -> tuple[str, ...]:
    """The anchors of an assistant turn, its ids without marks; none for one that says nothing."""
    ids = tuple(part.id for part in parts if isinstance(part, ToolCall))
    if ids:
        return ids
    text = "".join(part.text for part in parts if isinstance(part, Text))
    return (text_anchor(text),) if text.strip() else ()


def recalled(parts: Sequence[Part], crossing: Crossing) -> tuple[Reasoning, ...]:
    """What was kept of the assistant turn that `parts` are; nothing if the client sent it back."""
    if not crossing.remembered:
        return ()
    for anchor in anchors_of(parts):
        if known := crossing.remembered.get(anchor):
            return known
    return ()


def unmarked(conversation: Conversation) -> tuple[Conversation, Sought]:
    """The conversation with its providers' own tool ids, and what is to be looked up for it."""
    calls: list[str] = []
    texts: list[str] = []
    awaited: frozenset[str] = frozenset()
    turns: list[Turn] = []
    for turn in conversation.turns:
        if turn.role == "assistant" and not has_state(turn.parts):
            marked = tuple(_marked_ids(turn.parts))
            calls += marked
            awaited = frozenset(marked)
            if not marked and not any(isinstance(part, ToolCall) for part in turn.parts):
                texts += anchors_of(turn.parts)
        elif turn.role == "assistant":
            awaited = frozenset()
        turns.append(_without_marks(turn))
    if turns != list(conversation.turns):
        conversation = replace(conversation, turns=tuple(turns))
    return conversation, Sought((*calls, *texts[-MAX_TEXTS:]), awaited)


def without_marks(body: bytes) -> bytes:
    """A request as it is, but for the marks on its tool ids: a client of the provider's own format
    has them if another provider served its conversation before."""
    return _MARKED_ID.sub(rb"\1", body) if _MARK_BYTES in body else body


def has_state(parts: Iterable[Part]) -> bool:
    """Whether the client sent opaque state back, be it a provider's own or an envelope."""
    return any(isinstance(part, Reasoning) and part.opaque is not None for part in parts)


def _marked_ids(parts: Sequence[Part]) -> Iterator[str]:
    for part in parts:
        if isinstance(part, ToolCall) and part.id.endswith(MARK):
            yield part.id.removesuffix(MARK)


def _without_marks(turn: Turn) -> Turn:
    if not any(isinstance(part, ToolCall | ToolResult) for part in turn.parts):
        return turn
    return replace(turn, parts=tuple(_without_mark(part) for part in turn.parts))


def _without_mark(part: Part) -> Part:
    if isinstance(part, ToolCall) and part.id.endswith(MARK):
        return replace(part, id=part.id.removesuffix(MARK))
    if isinstance(part, ToolResult) and part.call_id.endswith(MARK):
        return replace(part, call_id=part.call_id.removesuffix(MARK))
    return part
