"""Canonical turns → turns that obey the hard rules of the Messages API.

Turns alternate and begin with the user's; every call has its result in the very next turn, before
anything else there; no text is blank; thinking stays only where the provider itself issued it.
Source: messages.md §3 and translation rules §2, §3, §6, §10 of the design notes.
"""

from collections.abc import Iterable, Iterator, Sequence

from msgspec.structs import replace

from plexus_proxy.errors import BadRequest
from plexus_proxy.formats.conversation import (
    Audio,
    Conversation,
    Crossing,
    Document,
    Foreign,
    Image,
    Part,
    Reasoning,
    Refusal,
    Text,
    ToolResult,
    Turn,
)
from plexus_proxy.formats.replay import with_own_reasoning
from plexus_proxy.formats.toolnames import legal_id
from plexus_proxy.formats.toolpairs import merged, paired

_NOTHING_SAID = Turn("user", (Text(text="…"),))
_NATIVE_STATE = ("sig", "redacted")


def legal_turns(conversation: Conversation, crossing: Crossing) -> list[Turn]:
    """Turns of user and assistant; empty if the conversation has nothing but system text."""
    cleaned = (_cleaned(turn, conversation, crossing) for turn in conversation.turns)
    turns = merged(paired(merged(cleaned), legal_id))
    if turns and turns[0].role == "assistant":
        turns.insert(0, _NOTHING_SAID)
    return turns


def running_loop_has_thinking(turns: Sequence[Turn]) -> bool:
    """False if results are being sent to an assistant turn that has lost its thinking."""
    first_of_loop: Turn | None = None
    for assistant, results in zip(turns[-2::-2], turns[::-2], strict=False):
        if results.role != "user" or not isinstance(results.parts[0], ToolResult):
            break
        first_of_loop = assistant
    return first_of_loop is None or isinstance(first_of_loop.parts[0], Reasoning)


def _cleaned(turn: Turn, conversation: Conversation, crossing: Crossing) -> Turn:
    parts: Iterable[Part]
    match turn.role:
        case "assistant":
            parts = _assistant_parts(
                with_own_reasoning(turn.parts, _NATIVE_STATE, conversation, crossing)
            )
        case "system":
            # in the middle only some models take the role, all take it as the user's words
            parts = (
                replace(part, text=f"<system>{part.text}</system>")
                for part in turn.parts
                if isinstance(part, Text) and part.text.strip()
            )
        case "user":
            parts = _user_parts(turn.parts)
    known = [part for part in parts if not isinstance(part, Foreign)]
    if any(part.citations for part in turn.parts if isinstance(part, Text)):
        conversation.lose("parts.citations", crossing)
    if any(isinstance(part, Foreign) for part in turn.parts):
        conversation.lose("turns.foreign", crossing)
    role = "assistant" if turn.role == "assistant" else "user"
    return Turn(role, tuple(_without_blanks(known)))


def _user_parts(parts: Sequence[Part]) -> Iterator[Part]:
    for part in parts:
        if isinstance(part, Audio):
            raise BadRequest("This model's provider does not take audio.", param="messages")
        if isinstance(part, ToolResult):
            inner = list(_user_parts(part.parts))
            marker = next((each.cache for each in inner if each.cache), None)
            kept = _without_blanks(
                replace(each, cache=None) for each in inner if not isinstance(each, Foreign)
            )
            yield replace(part, parts=tuple(kept), cache=part.cache or marker)
        else:
            yield part


def _assistant_parts(parts: Iterable[Part]) -> Iterator[Part]:
    for part in parts:
        if isinstance(part, Refusal):
            yield Text(text=part.text, cache=part.cache)
        elif not isinstance(part, Image | Document | Audio):  # only users may send these
            yield part


def _without_blanks(parts: Iterable[Part]) -> list[Part]:
    """Parts without blank texts, whose cache marker moves to the part before it."""
    out: list[Part] = []
    for part in parts:
        text = part.text if isinstance(part, Text | Document) else None
        if text is None or text.strip():
            out.append(part)
        elif part.cache and out and not out[-1].cache and not isinstance(out[-1], Reasoning):
            out[-1] = replace(out[-1], cache=part.cache)
    return out
