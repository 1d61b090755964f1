"""Peeking at a Chat Completions body, and sending it on to a provider of the same format."""

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

_ENVELOPE = PREFIX.encode()
_MARKED = b'"' + _ENVELOPE


class _Message(Struct, frozen=True, gc=False):
    reasoning_details: Raw | UnsetType = UNSET


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
    marks = None
    if span is not None:
        marks = Marks(
            body=body,
            model=span,
            envelopes=any(
                each.reasoning_details is not UNSET and _ENVELOPE in bytes(each.reasoning_details)
                for each in messages
            ),
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
        session=peeked.prompt_cache_key or peeked.safety_identifier or peeked.user,
        marks=marks,
    )


def splice(call: Call, model: str, extra: Mapping[str, Any]) -> bytes:
    """`call.body` for a Chat Completions provider: see Format.splice."""
    include_usage = call.stream and not (call.include_usage and not extra)
    return splice_body(call, model, extra, include_usage=include_usage, clean=_clean)


def _clean(fields: Fields, model: str) -> None:
    """Take envelopes out of the reasoning_details of messages."""
    messages = bodies.decode_items(fields["messages"])
    fields["messages"] = raw([_cleaned(each) for each in messages])


def _cleaned(message: Raw) -> Raw:
    if _MARKED not in bytes(message):
        return message
    fields = bodies.decode_fields(message)
    details = fields.get("reasoning_details")
    if details is None:
        return message
    try:
        kept = [each for each in bodies.decode_items(details) if _MARKED not in bytes(each)]
    except msgspec.DecodeError:
        kept = []
    if kept:
        fields["reasoning_details"] = raw(kept)
    else:
        del fields["reasoning_details"]
    return raw(fields)
