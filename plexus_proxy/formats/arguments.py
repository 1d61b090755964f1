"""Arguments of tool calls: JSON text in some formats, an object in others.

The text passes unparsed wherever it can, so that key order and large numbers survive.
"""

import msgspec
from msgspec import Raw, Struct

from plexus_proxy.formats.body import raw

INVALID = "__invalid_json"
"""Member that keeps arguments which are no JSON, so that nothing is lost."""

_EMPTY = Raw(b"{}")


class _CustomInput(Struct):
    input: str


_CUSTOM = msgspec.json.Decoder(_CustomInput)


def as_object(text: str) -> Raw:
    """Arguments as a JSON object: nothing is {}, other values become a member of one."""
    value = object_of(text)
    return raw({INVALID: text.strip()}) if value is None else value


def object_of(text: str) -> Raw | None:
    """As `as_object`; None for arguments that are no JSON."""
    text = text.strip()
    if not text:
        return _EMPTY
    try:
        msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return None
    value = Raw(text.encode())
    return value if text.startswith("{") else raw({"value": value})


def as_text(value: Raw | bytes) -> str:
    """A JSON object as the text of arguments: as it was written, without the white space."""
    return msgspec.json.format(bytes(value), indent=-1).decode()


def wrapped(custom_input: str) -> Raw:
    """The free text of a custom tool as the arguments of the function that stands for it."""
    return raw(_CustomInput(custom_input))


def unwrapped(arguments: str) -> str:
    """The free text again. A model that did not keep to the wrapping is taken at its word."""
    try:
        return _CUSTOM.decode(arguments).input
    except (msgspec.DecodeError, RecursionError):
        return arguments
