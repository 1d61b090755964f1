"""Peeking at a Messages body, and sending it on to a provider of the same format."""

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from plexus_proxy.errors import BadRequest
from plexus_proxy.formats import body as bodies
from plexus_proxy.formats.body import raw
from plexus_proxy.formats.envelope import PREFIX
from plexus_proxy.formats.format import IN_BODY, Asked, Call, Marks
from plexus_proxy.formats.splice import Fields, Peek, peek
from plexus_proxy.formats.splice import splice as splice_body

_MARKED = b'"' + PREFIX.encode()


class _Block(Struct, frozen=True, gc=False):
    signature: Raw | UnsetType = UNSET
    data: Raw | UnsetType = UNSET


class _Message(Struct, frozen=True, gc=False):
    content: str | list[_Block] | None = None


class _Metadata(Struct, frozen=True, gc=False):
    user_id: str | None = None


class _ToolChoice(Struct, frozen=True, gc=False):
    disable_parallel_tool_use: bool | None = None


class _Peek(Peek, frozen=True):
    messages: list[_Message] | UnsetType = UNSET
    stream: bool | None = None
    tools: list[Raw] | None = None
    tool_choice: _ToolChoice | None = None
    metadata: _Metadata | None = None


_PEEK = msgspec.json.Decoder(_Peek)


class _WholeBlock(Struct, frozen=True, gc=False):
    type: str
    signature: str = ""
    data: Raw = Raw(b"null")


_BLOCK = msgspec.json.Decoder(_WholeBlock)


class _Role(Struct, frozen=True, gc=False):
    role: str = ""


_ROLE = msgspec.json.Decoder(_Role)


class _Thinking(Struct, frozen=True, gc=False):
    type: str = ""


_THINKING = msgspec.json.Decoder(_Thinking)


def read_call(body: bytes, _asked: Asked = IN_BODY) -> Call:
    """What the corridor needs to know of a body. Raises BadRequest naming the field."""
    peeked, model, span = peek(_PEEK, body)
    messages = peeked.messages
    if messages is UNSET:
        raise BadRequest("Missing required field 'messages'.", param="messages")
    serial = peeked.tool_choice and peeked.tool_choice.disable_parallel_tool_use
    return Call(
        model=model,
        stream=bool(peeked.stream),
        body=body,
        message_count=len(messages),
        tool_count=len(peeked.tools or ()),
        parallel_tool_calls=None if serial is None else not serial,
        session=peeked.metadata.user_id if peeked.metadata else None,
        marks=span and Marks(body=body, model=span, envelopes=any(map(_has_envelope, messages))),
    )


def splice(call: Call, model: str, extra: Mapping[str, Any]) -> bytes:
    """`call.body` for a Messages provider: see Format.splice."""
    return splice_body(call, model, extra, include_usage=False, clean=_clean)


def _has_envelope(message: _Message) -> bool:
    if not isinstance(message.content, list):
        return False
    return any(_is_marked(block.signature) or _is_marked(block.data) for block in message.content)


def _is_marked(value: Raw | UnsetType) -> bool:
    return value is not UNSET and bytes(value).startswith(_MARKED)


def _clean(fields: Fields, model: str) -> None:
    """Take out thinking that carries envelopes.

    A provider that thinks by budget refuses a running tool loop that has lost its first thinking;
    it gets this one request without thinking. Source: translation rules §10, degrade rules.
    """
    cleaned: list[Raw] = []
    loop_lost_thinking = False
    for message in bodies.decode_items(fields["messages"]):
        kept, lost_thinking = _cleaned(message)
        if kept is not None:
            cleaned.append(kept)
        if b'"tool_result"' in bytes(message):
            continue
        if _ROLE.decode(message).role == "user":
            loop_lost_thinking = False  # a new question ends the loop before it
        elif lost_thinking:
            loop_lost_thinking = True
    fields["messages"] = raw(cleaned)
    thinking = fields.get("thinking")
    if loop_lost_thinking and thinking is not None:
        try:
            by_budget = _THINKING.decode(thinking).type == "enabled"
        except msgspec.DecodeError:
            return  # the provider will say what is wrong with it
        if by_budget:
            fields["thinking"] = Raw(b'{"type":"disabled"}')


def _cleaned(message: Raw) -> tuple[Raw | None, bool]:
    """The message without enveloped blocks (None: nothing was left), and whether it lost any."""
    if _MARKED not in bytes(message):
        return message, False
    fields = bodies.decode_fields(message)
    try:
        blocks = bodies.decode_items(fields["content"])
    except (KeyError, msgspec.DecodeError):
        return message, False
    kept = [each for each in blocks if not _is_enveloped_thinking(each)]
    if len(kept) == len(blocks):
        return message, False
    if not kept:
        return None, True
    fields["content"] = raw(kept)
    return raw(fields), True


def _is_enveloped_thinking(block: Raw) -> bool:
    try:
        found = _BLOCK.decode(block)
    except msgspec.DecodeError:
        return False
    if found.type == "thinking":
        return found.signature.startswith(PREFIX)
    return found.type == "redacted_thinking" and _is_marked(found.data)
