"""Peeking at a Chat Completions body, and sending it on to a provider of the same format."""

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
from plexus_proxy.formats.signatures import SKIP
from plexus_proxy.formats.splice import Fields, Peek, peek
from plexus_proxy.formats.splice import splice as splice_body

_ENVELOPE = PREFIX.encode()
_MARKED = b'"' + _ENVELOPE


_OWN = re.compile(
    rb'"(?:signature|data|thought_signature)"\s*:\s*"(?!%b|%b)[^"]'
    % (re.escape(_ENVELOPE), re.escape(SKIP.encode()))
)


class _Message(Struct, frozen=True, gc=False):
    """Where envelopes may stand, and state of a provider's own."""

    reasoning_details: Raw | UnsetType = UNSET
    tool_calls: Raw | UnsetType = UNSET


class _StreamOptions(Struct, frozen=True, gc=False):
    include_usage: bool | None = None


class _Peek(Peek, frozen=True):
    messages: list[_Message] | UnsetType = UNSET
    stream: bool | None = None
    stream_options: _StreamOptions | UnsetType | None = UNSET
    tools: list[Raw] | None = None
    functions: list[Raw] | None = None
    parallel_tool_calls: bool | None = None
    prompt_cache_key: str | None = None
    user: str | None = None
    safety_identifier: str | None = None


_PEEK = msgspec.json.Decoder(_Peek)
_encode = msgspec.json.Encoder().encode


def read_call(body: bytes, _asked: Asked = IN_BODY) -> Call:
    """What the corridor needs to know of a body. Raises BadRequest naming the field."""
    peeked, model, span = peek(_PEEK, body)
    messages = peeked.messages
    if messages is UNSET:
        raise BadRequest("Missing required field 'messages'.", param="messages")
    options = peeked.stream_options
    held = [
        piece
        for each in messages
        for piece in (each.reasoning_details, each.tool_calls)
        if piece is not UNSET
    ]
    marks = None
    if span is not None:
        marks = Marks(
            body=body,
            model=span,
            envelopes=any(_ENVELOPE in bytes(piece) for piece in held),
            stream_options=options is not UNSET,
        )
    return Call(
        model=model,
        stream=bool(peeked.stream),
        body=body,
        include_usage=isinstance(options, _StreamOptions) and bool(options.include_usage),
        message_count=len(messages),
        tool_count=len(peeked.tools or ()) + len(peeked.functions or ()),
        parallel_tool_calls=peeked.parallel_tool_calls,
        cache_key=peeked.prompt_cache_key,
        state=any(_OWN.search(piece) for piece in held),
        session=peeked.prompt_cache_key or peeked.safety_identifier or peeked.user,
        marks=marks,
    )


def splice(call: Call, model: str, extra: Mapping[str, Any]) -> bytes:
    """`call.body` for a Chat Completions provider: see Format.splice."""
    include_usage = call.stream and not (call.include_usage and not extra)
    return splice_body(call, model, extra, include_usage=include_usage, clean=_clean)


def _clean(fields: Fields, model: str) -> None:
    """Take envelopes out of messages: of their reasoning_details and their calls' extra_content."""
    messages = bodies.decode_items(fields["messages"])
    fields["messages"] = raw([_cleaned(each) for each in messages])


def _cleaned(message: Raw) -> Raw:
    if _MARKED not in bytes(message):
        return message
    fields = bodies.decode_fields(message)
    is_clean = True
    if _is_marked(fields, "reasoning_details"):
        is_clean = False
        items = _items(fields["reasoning_details"])
        if kept := [each for each in items if _MARKED not in bytes(each)]:
            fields["reasoning_details"] = raw(kept)
        else:
            del fields["reasoning_details"]
    if _is_marked(fields, "tool_calls"):
        calls = _items(fields["tool_calls"])
        bare = [_without_state(each) for each in calls]
        if bare != calls:
            is_clean = False
            fields["tool_calls"] = raw(bare)
    return message if is_clean else raw(fields)


def _without_state(call: Raw) -> Raw:
    """A tool call without the envelope in place of its signature."""
    if _MARKED not in bytes(call):
        return call
    fields = bodies.decode_fields(call)
    if not _is_marked(fields, "extra_content"):
        return call
    del fields["extra_content"]
    return raw(fields)


def _is_marked(fields: Fields, name: str) -> bool:
    return name in fields and _MARKED in bytes(fields[name])


def _items(value: Raw) -> list[Raw]:
    """Of a list of objects; none of what is something else."""
    try:
        items = bodies.decode_items(value)
    except msgspec.DecodeError:
        return []
    return [each for each in items if bytes(each).startswith(b"{")]
