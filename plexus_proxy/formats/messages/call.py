"""Peeking at a Messages body, and sending it on to a provider of the same format."""

import re
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from plexus_proxy.errors import BadRequest
from plexus_proxy.formats import body as bodies
from plexus_proxy.formats.body import raw
from plexus_proxy.formats.envelope import PREFIX
from plexus_proxy.formats.format import IN_BODY, Asked, Call, Marks
from plexus_proxy.formats.messages.searches import OUR_PREFIX
from plexus_proxy.formats.messages.sessions import session_in
from plexus_proxy.formats.splice import Fields, Peek, peek
from plexus_proxy.formats.splice import splice as splice_body

_MARKED = b'"' + PREFIX.encode()
_OWN = re.compile(rb'"(?!%b)[^"]' % re.escape(PREFIX.encode()))
_SEARCH = b'"' + OUR_PREFIX.encode()
_CITED = re.compile(rb'"encrypted_index"\s*:\s*""')
"""A citation as we write it: the provider's own have an index."""
_OURS = re.compile(b"|".join((re.escape(_MARKED), re.escape(_SEARCH), _CITED.pattern)))


class _Block(Struct, frozen=True, gc=False):
    signature: Raw | UnsetType = UNSET
    data: Raw | UnsetType = UNSET
    id: Raw | UnsetType = UNSET
    tool_use_id: Raw | UnsetType = UNSET
    citations: Raw | UnsetType = UNSET


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
    id: Raw | UnsetType = UNSET
    tool_use_id: Raw | UnsetType = UNSET


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
    user_id = peeked.metadata.user_id if peeked.metadata else None
    serial = peeked.tool_choice and peeked.tool_choice.disable_parallel_tool_use
    return Call(
        model=model,
        stream=bool(peeked.stream),
        body=body,
        message_count=len(messages),
        tool_count=len(peeked.tools or ()),
        parallel_tool_calls=None if serial is None else not serial,
        session=user_id,
        conversation=session_in(user_id) if user_id else None,
        state=any(
            _is_own(block.signature) or _is_own(block.data)
            for message in messages
            if isinstance(message.content, list)
            for block in message.content
        ),
        marks=span and Marks(body=body, model=span, envelopes=any(map(_is_ours, messages))),
    )


def splice(call: Call, model: str, extra: Mapping[str, Any]) -> bytes:
    """`call.body` for a Messages provider: see Format.splice."""
    return splice_body(call, model, extra, include_usage=False, clean=_clean, ours=_OURS)


def _is_ours(message: _Message) -> bool:
    """Whether any of its blocks holds what the provider would refuse."""
    if not isinstance(message.content, list):
        return False
    return any(
        _is_marked(block.signature)
        or _is_marked(block.data)
        or _is_search(block)
        or (block.citations is not UNSET and _CITED.search(block.citations))
        for block in message.content
    )


def _is_own(value: Raw | UnsetType) -> bool:
    """Whether it is a provider's own signature or redacted thinking."""
    return value is not UNSET and _OWN.match(value) is not None


def _is_search(block: "_Block | _WholeBlock") -> bool:
    return any(
        each is not UNSET and bytes(each).startswith(_SEARCH)
        for each in (block.id, block.tool_use_id)
    )


def _is_marked(value: Raw | UnsetType) -> bool:
    return value is not UNSET and bytes(value).startswith(_MARKED)


def _clean(fields: Fields, model: str) -> None:
    """Take out thinking that carries envelopes, searches that another provider made, and the
    citations of what these found: without the text that only their provider could encrypt they
    would be refused.

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
    """The message without what is of our making (None: nothing was left), and whether it lost
    thinking."""
    if not _OURS.search(message):
        return message, False
    fields = bodies.decode_fields(message)
    try:
        blocks = bodies.decode_items(fields["content"])
    except (KeyError, msgspec.DecodeError):
        return message, False
    kept: list[Raw] = []
    lost_thinking = False
    for block in blocks:
        found = bodies.known(_BLOCK, block)
        if found is not None and _is_enveloped_thinking(found):
            lost_thinking = True
        elif found is None or not _is_search(found):
            kept.append(_without_our_citations(block))
    if kept == blocks:
        return message, False
    if not kept:
        return None, lost_thinking
    fields["content"] = raw(kept)
    return raw(fields), lost_thinking


def _without_our_citations(block: Raw) -> Raw:
    if not _CITED.search(block):
        return block
    fields = bodies.decode_fields(block)
    try:
        kept = [e for e in bodies.decode_items(fields["citations"]) if not _CITED.search(e)]
    except (KeyError, msgspec.DecodeError):
        return block  # it only looks like one
    if kept:
        fields["citations"] = raw(kept)
    else:
        del fields["citations"]
    return raw(fields)


def _is_enveloped_thinking(found: _WholeBlock) -> bool:
    if found.type == "thinking":
        return found.signature.startswith(PREFIX)
    return found.type == "redacted_thinking" and _is_marked(found.data)
