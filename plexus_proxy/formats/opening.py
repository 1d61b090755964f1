"""How a conversation begins: what tells one from another when its client names none.

A client sends the same beginning with every turn, but not the same bytes: markers of prompt caches
wander on, text is now a string and now a list of parts, old tool results are cleared, thoughts are
left out. So only what stays is hashed: texts, other parts without such members, the ids of results.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from plexus_proxy.formats import body as bodies

MAX_PIECE_BYTES = 64 * 1024
"""So much of the beginning of a text is looked at."""
_MAX_PIECES = 64

_PASSING = frozenset(
    (
        "annotations",
        "cache_control",
        "citations",
        "id",
        "logprobs",
        "phase",
        "prompt_cache_breakpoint",
        "status",
        "thoughtSignature",
        "thought_signature",
    )
)
"""Members that come and go between the turns of a conversation."""
_THOUGHTS = ("thinking", "redacted_thinking", "reasoning")
_SYSTEM = ("system", "developer")
_RESULT = "tool_result"
_ANSWERED = ("assistant", "model")

Side = Literal["system", "client", "result", "answer", "thought"]


class Opening(Struct, frozen=True, gc=False):
    """The beginning of a conversation as hashes."""

    question: str | None = None
    """Of the instructions and what the client said before the first answer: known at the first
    turn, and the same for all conversations that begin alike."""
    exchange: str | None = None
    """Of what was said up to the first reply to the first answer; None at the first turn."""

    @property
    def multi_turn(self) -> bool:
        """The request holds an answer already."""
        return self.exchange is not None


class _Part(Struct, frozen=True, gc=False):
    type: Raw = Raw(b"null")
    text: Raw | UnsetType = UNSET
    tool_use_id: Raw = Raw(b"")
    thought: Raw = Raw(b"false")
    function_response: Raw | UnsetType = msgspec.field(name="functionResponse", default=UNSET)
    function_response_snake: Raw | UnsetType = msgspec.field(
        name="function_response", default=UNSET
    )


class _Item(Struct, frozen=True, gc=False):
    """A message, an item or a content."""

    type: Raw = Raw(b"null")
    role: Raw = Raw(b"null")
    content: Raw = Raw(b"null")
    parts: Raw = Raw(b"null")
    tool_calls: Raw = Raw(b"null")
    call_id: Raw = Raw(b"")
    tool_call_id: Raw = Raw(b"")
    name: Raw = Raw(b"")


class _Named(Struct, frozen=True, gc=False):
    name: Raw = Raw(b"")
    id: Raw = Raw(b"")


class _Call(Struct, frozen=True, gc=False):
    id: Raw = Raw(b"")
    function: Raw = Raw(b"")


class _Body(Struct, frozen=True, gc=False):
    """The members of any format that hold a conversation, none of which two formats share with
    another meaning."""

    messages: Raw = Raw(b"null")
    input: Raw = Raw(b"null")
    contents: Raw = Raw(b"null")
    system: Raw = Raw(b"null")
    instructions: Raw = Raw(b"null")
    instruction: Raw = msgspec.field(name="systemInstruction", default=Raw(b"null"))
    instruction_snake: Raw = msgspec.field(name="system_instruction", default=Raw(b"null"))


_BODY = msgspec.json.Decoder(_Body)
_ITEM = msgspec.json.Decoder(_Item)
_PART = msgspec.json.Decoder(_Part)
_NAMED = msgspec.json.Decoder(_Named)
_CALL = msgspec.json.Decoder(_Call)


def read_opening(body: bytes) -> Opening:
    """Of a request in any format. A second look at the body, for those that need it; never
    fails: of what cannot be read nothing is known."""
    sent = bodies.known(_BODY, Raw(body))
    if sent is None:
        return Opening()
    system = [
        piece
        for each in (sent.system, sent.instructions, sent.instruction, sent.instruction_snake)
        for piece in _content(each)
    ]
    turns = next(
        (each for each in (sent.messages, sent.input, sent.contents) if not _is_null(each)), None
    )
    return _opening(system, turns) if turns is not None else Opening()


def _opening(system: list[bytes], turns: Raw) -> Opening:
    asked: list[bytes] = []
    answer: list[bytes] | None = None
    for item in _turns(turns):
        side, pieces = _read(item)
        if side == "answer":
            answer = (answer or []) + list(pieces)
        elif answer is not None and side in ("client", "result"):
            return Opening(_hash(system, asked), _hash(asked, answer, pieces))
        elif side == "system":
            system += pieces
        elif side == "client":
            asked += pieces
    question = _hash(system, asked) if asked else None
    return Opening(question, None if answer is None else _hash(asked, answer))


def _turns(turns: Raw) -> Iterator[Raw]:
    """The items of a list, a lone item, or a text that stands for one."""
    begin = _begin(turns)
    if begin == b"[":
        yield from _items(turns)
    elif begin:
        yield turns


def _read(raw: Raw) -> tuple[Side, Sequence[bytes]]:
    """Who speaks, and what of it stays the same."""
    if _begin(raw) != b"{":
        return "client", list(_content(raw))
    item = bodies.known(_ITEM, raw)
    if item is None:
        return "client", ()
    role, kind = _word(item.role), _word(item.type)
    if kind in _THOUGHTS:
        return "thought", ()
    if kind.endswith("_output") or role in ("tool", "function"):
        return "result", [bytes(item.call_id) or bytes(item.tool_call_id) or bytes(item.name)]
    content = item.content if _is_null(item.parts) else item.parts
    if role in _ANSWERED:
        return "answer", [*_content(content), *_calls(item.tool_calls)]
    if kind.endswith("_call"):
        return "answer", [bytes(item.call_id) or _lasting(raw)]
    if role in _SYSTEM:
        return "system", list(_content(content))
    if results := list(_results(content)):
        return "result", results
    return "client", list(_content(content))


def _content(content: Raw) -> Iterator[bytes]:
    """Text, or parts: of a text part its text, so that it is the same either way."""
    begin = _begin(content)
    if begin == b'"':
        yield _text(content)
        return
    for part in _items(content) if begin == b"[" else [content] if begin == b"{" else []:
        found = bodies.known(_PART, part)
        if found is None:
            yield _beginning(part)
            continue
        if _word(found.type) in _THOUGHTS or bytes(found.thought) == b"true":
            continue
        if found.text is not UNSET:
            yield _text(found.text)
        elif _word(found.type) == "" and (inner := _system_parts(part)) is not None:
            yield from _content(inner)
        else:
            yield _lasting(part)


def _system_parts(part: Raw) -> Raw | None:
    """Gemini's instructions are a content with parts of its own."""
    item = bodies.known(_ITEM, part)
    return None if item is None or _is_null(item.parts) else item.parts


def _results(content: Raw) -> Iterator[bytes]:
    """Ids, or else names, of the calls whose results a content holds."""
    for part in _items(content) if _begin(content) == b"[" else []:
        found = bodies.known(_PART, part)
        if found is None:
            continue
        if _word(found.type) == _RESULT:
            yield bytes(found.tool_use_id)
            continue
        for response in (found.function_response, found.function_response_snake):
            if named := bodies.known(_NAMED, response):
                yield bytes(named.id) or bytes(named.name)


def _calls(calls: Raw) -> Iterator[bytes]:
    """Of Chat Completions: their ids."""
    for each in _items(calls) if _begin(calls) == b"[" else []:
        if call := bodies.known(_CALL, each):
            yield bytes(call.id) or bytes(call.function)


def _lasting(part: Raw) -> bytes:
    """An object without what comes and goes."""
    try:
        fields = bodies.decode_fields(part)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _beginning(part)
    return b"".join(
        name.encode("utf-8", "surrogatepass") + b"\0" + _beginning(value)
        for name, value in sorted(fields.items())
        if name not in _PASSING
    )


def _items(value: Raw) -> list[Raw]:
    try:
        return bodies.decode_items(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return []


def _word(value: Raw) -> str:
    """A short text of the protocol's own; nothing for anything else."""
    return bytes(value).strip(b'"').decode("ascii", "replace") if _begin(value) == b'"' else ""


def _begin(value: Raw) -> bytes:
    return bytes(memoryview(value)[:1])


def _beginning(value: Raw) -> bytes:
    return bytes(memoryview(value)[:MAX_PIECE_BYTES])


def _text(value: Raw) -> bytes:
    """As it is escaped: a client does that in one way."""
    return bytes(memoryview(value)[1:-1][:MAX_PIECE_BYTES])


def _is_null(value: Raw) -> bool:
    return bytes(memoryview(value)[:5]) == b"null"


def _hash(*groups: Iterable[bytes]) -> str:
    """Groups and pieces are told apart: ("ab") is not ("a", "b")."""
    digest = hashlib.sha256()
    for group in groups:
        for piece in list(group)[:_MAX_PIECES]:
            piece = piece[:MAX_PIECE_BYTES]
            digest.update(b"%d:" % len(piece))
            digest.update(piece)
        digest.update(b";")
    return digest.hexdigest()
