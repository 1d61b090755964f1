"""Peeking at a generateContent body, and sending it on to a provider of the same format.

The path says the model and whether to stream, so the body itself needs no change.
"""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from plexus_proxy.formats import body as bodies
from plexus_proxy.formats.body import raw
from plexus_proxy.formats.envelope import BASE64_PREFIX
from plexus_proxy.formats.format import Call
from plexus_proxy.formats.gemini.capabilities import capabilities_of
from plexus_proxy.formats.gemini.spelling import snake_case
from plexus_proxy.formats.signatures import SKIP

_ENVELOPE = BASE64_PREFIX.encode()
_MARKED = b'"' + _ENVELOPE
_SIGNATURES = ("thoughtSignature", "thought_signature")
_CALLS = ("functionCall", "function_call")
_encode = msgspec.json.Encoder().encode


class _Tool(Struct, frozen=True, gc=False):
    functions: list[Raw] | None = msgspec.field(name="functionDeclarations", default=None)
    functions_snake: list[Raw] | None = msgspec.field(name="function_declarations", default=None)

    @property
    def count(self) -> int:
        """Of the functions; a tool of the provider's counts as one."""
        functions = self.functions if self.functions is not None else self.functions_snake
        return 1 if functions is None else len(functions)


class _Content(Struct, frozen=True, gc=False):
    """Counted only."""


class _Peek(Struct, frozen=True, gc=False):
    contents: list[_Content] | _Content | UnsetType | None = UNSET
    tools: list[_Tool] | _Tool | None = None
    cache: str | None = msgspec.field(name="cachedContent", default=None)
    cache_snake: str | None = msgspec.field(name="cached_content", default=None)


_PEEK = msgspec.json.Decoder(_Peek)


def read_call(body: bytes, model: str, stream: bool) -> Call:
    """What the corridor needs to know of a body. Raises BadRequest naming the field."""
    peeked = bodies.decode(_PEEK, body)
    contents = bodies.require(peeked.contents, "contents")
    tools = peeked.tools or []
    cache = peeked.cache or peeked.cache_snake or None
    return Call(
        model=model,
        stream=stream,
        body=body,
        message_count=len(contents) if isinstance(contents, list) else 1,
        tool_count=sum(each.count for each in (tools if isinstance(tools, list) else [tools])),
        conversation=cache,
        state=True if cache else None,
        session=cache,
    )


def splice(call: Call, model: str, extra: Mapping[str, Any]) -> bytes:
    """`call.body` for a Gemini provider: see Format.splice."""
    marked = _ENVELOPE in call.body
    if not extra and not marked:
        return call.body
    fields = bodies.decode_fields(call.body)
    if marked and "contents" in fields:
        fields["contents"] = _cleaned(fields["contents"], model)
    for name, value in extra.items():
        fields.pop(snake_case(name), None)
        fields[name] = raw(value)
    return _encode(fields)


def _cleaned(contents: Raw, model: str) -> Raw:
    """`contents` without the envelopes in signatures."""
    return _each(contents, lambda content: _cleaned_content(content, model))


def _cleaned_content(content: Raw, model: str) -> Raw:
    if _MARKED not in bytes(content):
        return content
    fields = bodies.decode_fields(content)
    if "parts" in fields:
        fields["parts"] = _each(fields["parts"], lambda part: _cleaned_part(part, model))
    return raw(fields)


def _each(value: Raw, cleaned: Callable[[Raw], Raw]) -> Raw:
    """Every object of a list, or a lone one; the provider will say what is wrong with the rest."""
    if bytes(value).startswith(b"["):
        return raw([_each(each, cleaned) for each in bodies.decode_items(value)])
    return cleaned(value) if bytes(value).startswith(b"{") else value


def _cleaned_part(part: Raw, model: str) -> Raw:
    """A call whose signature goes gets the word for that, where the model asks for signatures."""
    if _MARKED not in bytes(part):
        return part
    fields = bodies.decode_fields(part)
    for name in _SIGNATURES:
        if bytes(fields.get(name, b"")).startswith(_MARKED):
            del fields[name]
            if capabilities_of(model).wants_signatures and any(each in fields for each in _CALLS):
                fields[name] = raw(SKIP)
    return raw(fields)
