"""JSON Schemas on their way to a provider that takes less than the whole language.

A schema that is acceptable passes as the client's bytes, whatever its key order or spelling.
Sources: OpenAI and Anthropic guides, "Structured outputs"; translation rules §5, §8.
"""

from collections.abc import Callable, Iterator
from typing import Any, cast

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from plexus_proxy.formats.body import raw

Schema = dict[str, Any]

_EMPTY = Raw(b'{"type":"object","properties":{}}')
_MAPS = ("properties", "$defs", "definitions")
_LISTS = ("anyOf", "oneOf", "allOf", "prefixItems")
_UNIONS = ("anyOf", "oneOf", "allOf")
_DEFINITIONS = ("$defs", "definitions")
_MAX_DEPTH = 4
_CONSTRAINTS = (
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "uniqueItems",
)
"""Keywords Messages refuses in schemas that it enforces."""


class _Root(Struct, frozen=True):
    type: Any = None
    anyOf: Raw | UnsetType = UNSET
    oneOf: Raw | UnsetType = UNSET
    allOf: Raw | UnsetType = UNSET


_ROOT = msgspec.json.Decoder(_Root)


def object_root(schema: Raw | None) -> Raw:
    """A tool's schema with `type: object` and no unions at its root, as Messages demands.

    Branches of a root union are merged into one object that allows what any of them allows; a root
    that is no object becomes its property `value`.
    """
    if schema is None:
        return _EMPTY
    try:
        root = _ROOT.decode(schema)
    except msgspec.ValidationError:  # true, false, null: any JSON
        return _EMPTY
    if root.type == "object" and root.anyOf is root.oneOf is root.allOf is UNSET:
        return schema
    return raw(_object_root(msgspec.json.decode(schema)))


def _object_root(schema: Schema, depth: int = 0) -> Schema:
    schema = _resolved(schema, schema)
    branches = [
        _object_root({**each, **_definitions(schema)}, depth + 1)
        for union in _UNIONS
        for each in _schemas(schema.get(union))
        if depth < _MAX_DEPTH
    ]
    kind = schema.get("type")
    if isinstance(kind, list) and "object" in kind:
        kind = "object"
    if kind not in (None, "object") or (branches and not any(map(_has_properties, branches))):
        inner = {name: value for name, value in schema.items() if name not in _DEFINITIONS}
        wrapper: Schema = {"type": "object", "properties": {"value": inner}, "required": ["value"]}
        return {**wrapper, **_definitions(schema)}
    out: Schema = {"type": "object"}
    out.update((k, v) for k, v in schema.items() if k not in (*_UNIONS, "type", "$ref"))
    properties = dict(_map(out.get("properties")))
    for branch in branches:
        for name, value in _map(branch.get("properties")).items():
            properties.setdefault(name, value)
    out["properties"] = properties
    required = _names(schema.get("required"))
    for union in _UNIONS:
        required += _required(list(_schemas(schema.get(union))), schema, all_of=union == "allOf")
    if required:
        out["required"] = list(dict.fromkeys(required))
    return out


def _definitions(schema: Schema) -> Schema:
    return {name: schema[name] for name in _DEFINITIONS if name in schema}


def _has_properties(schema: Schema) -> bool:
    return list(_map(schema.get("properties"))) != ["value"]


def _required(branches: list[Schema], root: Schema, *, all_of: bool) -> list[str]:
    """What every branch requires; of allOf, what any branch requires."""
    wanted = [_names(_resolved(each, root).get("required")) for each in branches]
    if not wanted:
        return []
    if all_of:
        return [name for names in wanted for name in names]
    return [name for name in wanted[0] if all(name in names for names in wanted)]


def _resolved(schema: Schema, root: Schema) -> Schema:
    """`schema` with a local $ref at its own root replaced by what it points at."""
    for _ in range(8):  # a chain of references; a circle ends here
        path = schema.get("$ref")
        if not isinstance(path, str) or not path.startswith("#/"):
            break
        target: Any = root
        for step in path[2:].split("/"):
            target = cast("Schema", target).get(step) if isinstance(target, dict) else None
        if not isinstance(target, dict):
            break
        rest = {name: value for name, value in schema.items() if name != "$ref"}
        schema = {**rest, **cast("Schema", target)}
    return schema


def _map(value: Any) -> Schema:
    return cast("Schema", value) if isinstance(value, dict) else {}


def _names(value: Any) -> list[str]:
    each_one = cast("list[Any]", value) if isinstance(value, list) else []
    return [each for each in each_one if isinstance(each, str)]


def _schemas(value: Any) -> Iterator[Schema]:
    if isinstance(value, list):
        for each in cast("list[Any]", value):
            if isinstance(each, dict):
                yield cast("Schema", each)


def _children(schema: Schema) -> Iterator[Schema]:
    for name in _MAPS:
        yield from _schemas(list(_map(schema.get(name)).values()))
    for name in _LISTS:
        yield from _schemas(schema.get(name))
    for name in ("items", "additionalProperties", "not"):
        yield from _schemas([schema.get(name)])


def _is_object(schema: Schema) -> bool:
    kind = schema.get("type")
    return (
        kind == "object" or "properties" in schema or (isinstance(kind, list) and "object" in kind)
    )


def _every(schema: Schema, holds: Callable[[Schema], bool]) -> bool:
    return holds(schema) and all(_every(each, holds) for each in _children(schema))


def _decoded(schema: Raw) -> Schema | None:
    value = msgspec.json.decode(schema)
    return cast("Schema", value) if isinstance(value, dict) else None


def may_be_strict_for_chat(schema: Raw | None) -> bool:
    """OpenAI's strict mode wants every object closed and every property required."""
    found = _decoded(schema) if schema is not None else None

    def holds(node: Schema) -> bool:
        properties, required = _map(node.get("properties")), _names(node.get("required"))
        closed = node.get("additionalProperties") is False and set(properties) <= set(required)
        return closed or not _is_object(node)

    return found is not None and found.get("type") == "object" and _every(found, holds)


def may_be_strict_for_messages(schema: Raw | None) -> bool:
    """Messages enforces schemas whose objects are closed and that have no numeric limits."""
    found = _decoded(schema) if schema is not None else None

    def holds(node: Schema) -> bool:
        closed = not _is_object(node) or node.get("additionalProperties") is False
        return closed and not any(each in node for each in _CONSTRAINTS)

    return found is not None and found.get("type") == "object" and _every(found, holds)


def closed(schema: Raw) -> Raw:
    """A schema that Messages will enforce on its answer: every object closed, limits it does not
    know told in the description."""
    found = _decoded(schema)
    if found is None or may_be_strict_for_messages(schema):
        return schema
    return raw(_closed(_object_root(found)))


def _closed(schema: Schema) -> Schema:
    out: Schema = {}
    limits: list[str] = []
    for name, value in schema.items():
        if name in _CONSTRAINTS:
            limits.append(f"{name}: {msgspec.json.encode(value).decode()}")
        elif name in _MAPS and isinstance(value, dict):
            inner = cast("Schema", value)
            out[name] = {key: _closed_any(each) for key, each in inner.items()}
        elif name in _LISTS and isinstance(value, list):
            each_one = cast("list[Any]", value)
            out["anyOf" if name == "oneOf" else name] = [_closed_any(each) for each in each_one]
        elif name == "items":
            out[name] = _closed_any(value)
        else:
            out[name] = value
    if _is_object(schema):
        out["additionalProperties"] = False
    if limits:
        told = str(out.get("description") or "")
        out["description"] = f"{told} ({', '.join(limits)})".strip()
    return out


def _closed_any(value: Any) -> Any:
    return _closed(cast("Schema", value)) if isinstance(value, dict) else value
