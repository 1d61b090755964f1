"""Tool calls and their results, brought side by side.

Providers refuse a conversation in which a call lacks its result, a result its call, or in which
anything stands between the two. Clients send such conversations all the time: after an abort, after
trimming their history, or because their own provider does not mind.
"""

from collections.abc import Callable, Iterable, Sequence

from msgspec import structs

from plexus_proxy.formats.conversation import Part, Text, ToolCall, ToolResult, Turn

_INTERRUPTED = "Tool execution was interrupted"


def merged(turns: Iterable[Turn]) -> list[Turn]:
    """Neighbouring turns of one role joined; turns without parts left out."""
    out: list[Turn] = []
    for turn in turns:
        if not turn.parts:
            continue
        if out and out[-1].role == turn.role:
            out[-1] = Turn(turn.role, out[-1].parts + turn.parts)
        else:
            out.append(turn)
    return out


def paired(turns: Sequence[Turn], wire_id: Callable[[str], str]) -> list[Turn]:
    """`turns` with a turn of results, one per call and in the calls' order, right after each
    assistant turn that has calls.

    Calls get ids that `wire_id` makes legal and that are unique in the whole conversation. A
    missing result becomes an error, a result without a call becomes text.
    """
    pairing = _Pairing(turns, wire_id)
    return [each for index in range(len(turns)) for each in pairing.turn(index)]


class _Pairing:
    def __init__(self, turns: Sequence[Turn], wire_id: Callable[[str], str]) -> None:
        self._turns = turns
        self._wire_id = wire_id
        self._used_ids: set[str] = set()
        self._claimed: set[tuple[int, int]] = set()
        """(turn, part) of results that have found their call."""

    def turn(self, index: int) -> Iterable[Turn]:
        turn = self._turns[index]
        if turn.role != "assistant":
            rest = tuple(
                each
                for at, part in enumerate(turn.parts)
                if (index, at) not in self._claimed
                for each in ((part,) if not isinstance(part, ToolResult) else _as_text(part))
            )
            return (structs.replace(turn, parts=rest),) if rest else ()
        parts: list[Part] = []
        results: list[Part] = []
        for part in turn.parts:
            if isinstance(part, ToolCall):
                result = self._result_of(part, index)
                part = structs.replace(part, id=self._unique_id(part.id, index))
                results.append(
                    structs.replace(result, call_id=part.id, name=part.name, custom=part.custom)
                )
            parts.append(part)
        own = structs.replace(turn, parts=tuple(parts))
        return (own, Turn("user", tuple(results))) if results else (own,)

    def _result_of(self, call: ToolCall, index: int) -> ToolResult:
        """The first result for the call's id before the next assistant turn."""
        for later in range(index + 1, len(self._turns)):
            turn = self._turns[later]
            if turn.role == "assistant":
                break
            for at, part in enumerate(turn.parts):
                if (
                    isinstance(part, ToolResult)
                    and part.call_id == call.id
                    and (later, at) not in self._claimed
                ):
                    self._claimed.add((later, at))
                    return part
        return ToolResult(call_id=call.id, parts=(Text(text=_INTERRUPTED),), is_error=True)

    def _unique_id(self, tool_id: str, index: int) -> str:
        legal = unique = self._wire_id(tool_id) if tool_id else "call"
        number = index
        while unique in self._used_ids or unique == "call":
            unique = self._wire_id(f"{legal}_{number}")
            number += 1
        self._used_ids.add(unique)
        return unique


def _as_text(orphan: ToolResult) -> tuple[Part, ...]:
    """A result whose call the client has dropped: its content, said to be what it is."""
    about = f"[Result of an earlier tool call: {orphan.name or orphan.call_id}]"
    return (Text(text=about), *orphan.parts)
