"""Peeking at a Responses body, and sending it on to a provider of the same format."""

import re
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from plexus_proxy.formats import body as bodies
from plexus_proxy.formats.body import raw
from plexus_proxy.formats.envelope import PREFIX
from plexus_proxy.formats.format import IN_BODY, Asked, Call, Marks
from plexus_proxy.formats.splice import Fields, Peek, peek
from plexus_proxy.formats.splice import splice as splice_body

_MARKED = b'"' + PREFIX.encode()
_OWN = re.compile(rb'"(?!%b)[^"]' % re.escape(PREFIX.encode()))


class _Item(Struct, frozen=True, gc=False):
    encrypted_content: Raw | UnsetType = UNSET


class _Peek(Peek, frozen=True):
    input: str | list[_Item] | None = None
    stream: bool | None = None
    tools: list[Raw] | None = None
    parallel_tool_calls: bool | None = None
    prompt_cache_key: str | None = None
    user: str | None = None
    safety_identifier: str | None = None
    previous_response_id: Raw = Raw(b"null")
    conversation: Raw = Raw(b"null")


class _Conversation(Struct, frozen=True, gc=False):
    id: str = ""


_NAMING = msgspec.json.Decoder(str | _Conversation | None)
_PEEK = msgspec.json.Decoder(_Peek)


class _WholeItem(Struct, frozen=True, gc=False):
    type: str = ""
    encrypted_content: Raw = Raw(b"null")


_ITEM = msgspec.json.Decoder(_WholeItem)


def read_call(body: bytes, _asked: Asked = IN_BODY) -> Call:
    """What the corridor needs to know of a body. Raises BadRequest naming the field."""
    peeked, model, span = peek(_PEEK, body)
    items = peeked.input if isinstance(peeked.input, list) else []
    conversation = _id_in(peeked.previous_response_id) or _id_in(peeked.conversation)
    return Call(
        model=model,
        stream=bool(peeked.stream),
        body=body,
        include_usage=True,
        message_count=len(items) or int(peeked.input is not None),
        tool_count=len(peeked.tools or ()),
        parallel_tool_calls=peeked.parallel_tool_calls,
        cache_key=peeked.prompt_cache_key,
        conversation=conversation,
        state=conversation is not None
        or any(
            _OWN.match(each.encrypted_content)
            for each in items
            if each.encrypted_content is not UNSET
        ),
        session=peeked.prompt_cache_key or peeked.safety_identifier or peeked.user,
        marks=span
        and Marks(
            body=body,
            model=span,
            envelopes=any(
                each.encrypted_content is not UNSET and _is_marked(each.encrypted_content)
                for each in items
            ),
        ),
    )


def _id_in(value: Raw) -> str | None:
    """An id, or that of an object."""
    found = bodies.known(_NAMING, value)
    return (found.id if isinstance(found, _Conversation) else found) or None


def splice(call: Call, model: str, extra: Mapping[str, Any]) -> bytes:
    """`call.body` for a Responses provider: see Format.splice."""
    return splice_body(call, model, extra, include_usage=False, clean=_clean)


def _is_marked(value: Raw) -> bool:
    return bytes(value).startswith(_MARKED)


def _clean(fields: Fields, model: str) -> None:
    """Take out reasoning items that carry envelopes; what they led to stays.

    An input that is text, or none, has no items."""
    sent = fields.get("input")
    if sent is None or not bytes(sent).startswith(b"["):
        return
    items = bodies.decode_items(sent)
    fields["input"] = raw([each for each in items if not _is_enveloped(each)])


def _is_enveloped(item: Raw) -> bool:
    if _MARKED not in bytes(item):
        return False
    try:
        found = _ITEM.decode(item)
    except msgspec.DecodeError:
        return False
    return found.type == "reasoning" and _is_marked(found.encrypted_content)
