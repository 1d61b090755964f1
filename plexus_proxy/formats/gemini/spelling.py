"""Both spellings of a field's name: proto3 JSON takes lowerCamelCase and snake_case alike.

A body is brought to the first before it is read. Which objects have fields, and which hold user
data whose keys are the user's own, is seen from the wire types. A lone object where a list is due,
which proto3 JSON takes as well, becomes a list.
"""

import re
from typing import Any

import msgspec
from msgspec import Raw, Struct, inspect

from plexus_proxy.formats import body as bodies

_WORD = re.compile(r"(?<=[a-z0-9])_+([a-z0-9])")
_CAPITAL = re.compile(r"[A-Z]")
_WHOLE = msgspec.json.Decoder(Raw)
_FIELDS = msgspec.json.Decoder(dict[str, Raw])
_encode = msgspec.json.Encoder().encode


class Shape(Struct, frozen=True):
    """Where field names are: below `fields` of an object, or in the items of a list."""

    fields: "dict[str, Shape]"
    is_list: bool = False


def shape_of(kind: type[Struct]) -> Shape:
    found = _shape(inspect.type_info(kind))
    assert found is not None
    return found


def _shape(kind: inspect.Type) -> Shape | None:
    match kind:
        case inspect.StructType():
            shapes = ((field.encode_name, _shape(field.type)) for field in kind.fields)
            return Shape({name: shape for name, shape in shapes if shape})
        case inspect.ListType():
            item = _shape(kind.item_type)
            return item and Shape(item.fields, is_list=True)
        case inspect.UnionType():
            return next(filter(None, map(_shape, kind.types)), None)
        case _:
            return None


def camel_case(body: bytes, shape: Shape) -> bytes:
    """`body`, a JSON object, with its fields' names in lowerCamelCase. Raises BadRequest."""
    whole = bodies.decode(_WHOLE, body)
    return bytes(_object(whole, bodies.decode(_FIELDS, whole), shape))


def _value(value: Raw, shape: Shape) -> Raw:
    start = bytes(memoryview(value)[:1])
    if start == b"{":
        found = _object(value, bodies.decode_fields(value), shape)
        return bodies.raw([found]) if shape.is_list else found
    if start != b"[" or not shape.is_list:
        return value  # of a wrong type: said when it is read
    items = bodies.decode_items(value)
    item = Shape(shape.fields)
    found = [_value(each, item) for each in items]
    return value if _same(found, items) else bodies.raw(found)


def _object(value: Raw, fields: dict[str, Raw], shape: Shape) -> Raw:
    found: dict[str, Raw] = {}
    for name, each in fields.items():
        known = camel(name)
        inner = shape.fields.get(known)
        found[known] = each if inner is None else _value(each, inner)
    if found.keys() == fields.keys() and _same(list(found.values()), list(fields.values())):
        return value
    return Raw(_encode(found))


def _same(some: list[Any], others: list[Any]) -> bool:
    return len(some) == len(others) and all(a is b for a, b in zip(some, others, strict=True))


def camel(name: str) -> str:
    """A field's name in lowerCamelCase."""
    return _WORD.sub(lambda match: match[1].upper(), name) if "_" in name else name


def snake_case(name: str) -> str:
    """The other spelling of a name in lowerCamelCase."""
    return _CAPITAL.sub(lambda match: "_" + match[0].lower(), name)
