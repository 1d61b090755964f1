"""A JSON payload whose parts stay the very bytes they were until a patch looks into them.

What a patch cannot read it leaves alone: to complain about it is the provider's business.
"""

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec
from msgspec import UNSET, Raw, UnsetType

Fields = dict[str, Raw]
"""A JSON object: its members, undecoded."""
T = TypeVar("T")
D = TypeVar("D")

_ANY = msgspec.json.Decoder()
_FIELDS = msgspec.json.Decoder(Fields)
_ITEMS = msgspec.json.Decoder(list[Raw])
_encode = msgspec.json.Encoder().encode


def read_fields(text: bytes | Raw) -> Fields | None:
    """None if it is no object."""
    return _read(_FIELDS, text, None)


def read_items(text: bytes | Raw | None) -> list[Raw]:
    """Empty if it is no array."""
    none: list[Raw] = []
    return none if text is None else _read(_ITEMS, text, none)


def read_value(text: Raw | None) -> Any:
    """UNSET if it is not there or cannot be read."""
    return UNSET if text is None else _read(_ANY, text, UNSET)


def _read(decoder: "msgspec.json.Decoder[T]", text: bytes | Raw, otherwise: D) -> T | D:
    try:
        return decoder.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return otherwise


def write(value: Any) -> Raw:
    return Raw(_encode(value))


def value_at(fields: Mapping[str, Raw], path: str) -> Any | UnsetType:
    """What stands at a dotted path; UNSET if nothing does."""
    first, *rest = path.split(".")
    found = read_value(fields.get(first))
    for name in rest:
        if not isinstance(found, dict) or name not in found:
            return UNSET
        found = found[name]  # pyright: ignore[reportUnknownVariableType] - any JSON
    return found  # pyright: ignore[reportUnknownVariableType] - any JSON


def with_value(fields: Fields, path: str, value: Any) -> Fields:
    """With `value` at a dotted path; what is in the way becomes a mapping."""
    first, *rest = path.split(".")
    if not rest:
        return {**fields, first: write(value)}
    within = read_fields(fields[first]) if first in fields else None
    return {**fields, first: write(with_value(within or {}, ".".join(rest), value))}


def without(fields: Fields, path: str) -> Fields:
    """Without what stands at a dotted path."""
    first, *rest = path.split(".")
    if first not in fields:
        return fields
    if not rest:
        return {name: value for name, value in fields.items() if name != first}
    within = read_fields(fields[first])
    if within is None:
        return fields
    return {**fields, first: write(without(within, ".".join(rest)))}
