"""Schemas in both directions: Gemini's own subset, JSON Schema, and what Gemini takes of it.

Newer models take JSON Schema with a limited vocabulary; a schema within it passes as the client's
bytes. All other schemas are reduced to the subset that every model takes (OpenAPI 3.0's, of which
Gemini refuses whatever it does not know). Names of properties are never mistaken for keywords.
Sources: Gemini API reference, "Schema", "FunctionDeclaration"; translation rules §5, §18.9.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeGuard, cast

import msgspec
from msgspec import Raw, Struct

from plexus_proxy.errors import BadRequest
from plexus_proxy.formats.body import raw
from plexus_proxy.formats.schemas import object_root

Schema = dict[str, Any]

_TYPES = ("string", "number", "integer", "boolean", "array", "object", "null")
_CAMEL = {
    "any_of": "anyOf",
    "min_items": "minItems",
    "max_items": "maxItems",
    "min_properties": "minProperties",
    "max_properties": "maxProperties",
    "min_length": "minLength",
    "max_length": "maxLength",
    "property_ordering": "propertyOrdering",
    "additional_properties": "additionalProperties",
}
_OWN_KEYWORDS = ("nullable", "propertyOrdering", "example")
_COUNTS = (
    "minItems", "maxItems", "minProperties", "maxProperties", "minLength", "maxLength",
)  # fmt: skip
_ENUM_FORMAT = "enum"

_TOLERATED: dict[str, type | tuple[type, ...]] = {
    "$id": str,
    "$defs": dict,
    "$ref": str,
    "$anchor": str,
    "type": (str, list),
    "format": str,
    "title": str,
    "description": str,
    "enum": list,
    "items": dict,
    "prefixItems": list,
    "minItems": int,
    "maxItems": int,
    "minimum": (int, float),
    "maximum": (int, float),
    "anyOf": list,
    "oneOf": list,
    "properties": dict,
    "additionalProperties": (bool, dict),
    "required": list,
}
_DEFINITIONS = "#/$defs/"
_KEPT_OF: dict[str, tuple[str, ...]] = {
    "string": ("minLength", "maxLength", "pattern"),
    "number": ("minimum", "maximum"),
    "integer": ("minimum", "maximum"),
    "array": ("minItems", "maxItems"),
    "object": ("minProperties", "maxProperties"),
}
_FORMATS_OF = {
    "string": ("enum", "date-time"),
    "number": ("float", "double"),
    "integer": ("int32", "int64"),
}
_WORDS = ("title", "description")
_REDUCED = frozenset(
    (
        *("type", "nullable", "pattern", "enum", "const", "properties", "required", "items"),
        *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "prefixItems"),
        *("anyOf", "oneOf", "allOf", "$ref", *_WORDS, *_COUNTS),
        *("$schema", "$id", "$anchor", "$comment", "$defs", "definitions", "deprecated"),
        *("example", "examples", "readOnly", "writeOnly", "propertyOrdering"),
    )
)
"""What is said in the subset's words, or says nothing about a value."""
_BY_KEYWORD = {"properties": "object", "items": "array", "prefixItems": "array"}
_UNKNOWN: Schema = {"type": "string"}
"""For a schema that allows anything: some type must be named."""
_MAX_DEPTH = 32
_MAX_NODES = 5000
"""References that branch can make a small schema endless."""


def json_schema(subset: Raw) -> Raw:
    """A client's schema of Gemini's subset as JSON Schema; one that is both stays as it is."""
    schema = msgspec.json.decode(subset)
    try:
        found = _json_schema(schema)
    except RecursionError as error:
        raise BadRequest("A schema is nested too deeply.", param="tools") from error
    return subset if found == schema else raw(found)


def _json_schema(schema: Any) -> Any:
    if not isinstance(schema, dict):
        return schema
    out: Schema = {}
    for name, value in cast("Schema", schema).items():
        keyword = _CAMEL.get(name, name)
        match keyword:
            case "type" if isinstance(value, str):
                out["type"] = value.lower()
            case "properties" | "$defs" if isinstance(value, dict):
                inner = cast("Schema", value)
                out[keyword] = {key: _json_schema(each) for key, each in inner.items()}
            case "anyOf" if isinstance(value, list):
                out["anyOf"] = [_json_schema(each) for each in cast("list[Any]", value)]
            case "items" | "additionalProperties":
                out[keyword] = _json_schema(value)
            case _ if keyword in _COUNTS and isinstance(value, str) and value.isdecimal():
                out[keyword] = int(value)  # int64, which some SDKs write as a string
            case _:
                out[keyword] = value
    nullable = out.get("nullable") is True
    for name in _OWN_KEYWORDS:
        out.pop(name, None)
    if out.get("type") == "type_unspecified":
        del out["type"]
    if out.get("format") == _ENUM_FORMAT:
        del out["format"]
    return _or_null(out) if nullable else out


def _or_null(schema: Schema) -> Schema:
    kind = schema.get("type")
    if isinstance(kind, str) and kind != "null":
        schema["type"] = [kind, "null"]
    if (enum := _list(schema.get("enum"))) and None not in enum:
        schema["enum"] = [*enum, None]
    if kind is None and (branches := _list(schema.get("anyOf"))):
        schema["anyOf"] = [*branches, {"type": "null"}]
    return schema


class Written(Struct, frozen=True):
    """A schema for Gemini: as JSON Schema or reduced; neither if it says nothing."""

    json_schema: Raw | None = None
    reduced: Raw | None = None
    lost: tuple[str, ...] = ()
    """Keywords that the subset has no words for."""


def parameters_of(schema: Raw | None, *, takes_json_schema: bool) -> Written:
    """Of a function, whose parameters are always an object's properties."""
    if schema is None:
        return Written()
    return written(object_root(schema), takes_json_schema=takes_json_schema)


def written(schema: Raw, *, takes_json_schema: bool) -> Written:
    """`schema` itself where that is understood, else reduced."""
    found = msgspec.json.decode(schema)
    if takes_json_schema and _is_tolerated(found):
        return Written() if _is_empty_object(found) else Written(json_schema=schema)
    reducer = _Reducer(found)
    reduced = reducer.reduced(found, ())
    lost = tuple(reducer.lost)
    if _is_empty_object(reduced):
        return Written(lost=lost)
    return Written(reduced=raw(reduced), lost=lost)


def _is_empty_object(schema: Schema) -> bool:
    """Refused at the root: an object without properties."""
    return (
        schema.get("type") == "object"
        and not schema.get("properties")
        and not schema.get("additionalProperties")
    )


def _is_tolerated(root: Any) -> bool:
    definitions = _map(_map(root).get("$defs"))

    def holds(node: Any, depth: int) -> bool:
        if not isinstance(node, dict) or depth > _MAX_DEPTH:
            return False
        schema = cast("Schema", node)
        properties = _map(schema.get("properties"))
        return (
            all(isinstance(each, _TOLERATED.get(name, ())) for name, each in schema.items())
            and set(_kinds(schema)) <= set(_TYPES)
            and ("array" not in _kinds(schema) or "items" in schema or "prefixItems" in schema)
            and all(isinstance(each, str) for each in _list(schema.get("enum")))
            and all(
                isinstance(each, str) and each in properties
                for each in _list(schema.get("required"))
            )
            and ("$ref" not in schema or _name_of(schema["$ref"]) in definitions)
            and all(holds(each, depth + 1) for each in _children(schema))
        )

    return holds(root, 0) and not _has_cycle(definitions)


def _kinds(schema: Schema) -> list[str]:
    """All types a schema names, one or many."""
    kind = schema.get("type")
    return [str(each) for each in (_list(kind) if isinstance(kind, list) else [kind]) if each]


def _children(schema: Schema) -> Iterator[Any]:
    for name in ("properties", "$defs"):
        yield from _map(schema.get(name)).values()
    for name in ("anyOf", "oneOf", "prefixItems"):
        yield from _list(schema.get(name))
    for name in ("items", "additionalProperties"):
        if not isinstance(schema.get(name, False), bool):
            yield schema[name]


def _name_of(path: Any) -> str | None:
    """Of a definition, if the reference is to one at the root."""
    if isinstance(path, str) and path.startswith(_DEFINITIONS):
        return path.removeprefix(_DEFINITIONS)
    return None


def _has_cycle(definitions: Schema) -> bool:
    """References in a circle are understood by some models only."""
    done: set[str] = set()

    def visits(name: str, under: tuple[str, ...]) -> bool:
        if name in done:
            return False
        found = name in under or any(
            visits(each, (*under, name)) for each in _references(definitions.get(name))
        )
        done.add(name)
        return found

    return any(visits(name, ()) for name in definitions)


def _references(schema: Any) -> Iterator[str]:
    if not isinstance(schema, dict):
        return
    node = cast("Schema", schema)
    if name := _name_of(node.get("$ref")):
        yield name
    for each in _children(node):
        yield from _references(each)


class _Reducer:
    """One schema while it is reduced.

    `under` holds the references that are being inlined: one that comes again below itself ends as
    an object without properties."""

    def __init__(self, root: Any) -> None:
        self._root = root
        self._nodes = 0
        self.lost: dict[str, None] = {}

    def reduced(self, schema: Any, under: tuple[str, ...], depth: int = 0) -> Schema:
        return _finished(self._gathered(schema, under, depth))

    def _gathered(self, schema: Any, under: tuple[str, ...], depth: int) -> Schema:
        """What the schema says in the words of the subset; its type may still be open."""
        self._nodes += 1
        if not isinstance(schema, dict):
            return {}
        if depth > _MAX_DEPTH or self._nodes > _MAX_NODES:
            return {"type": "object"}
        node = cast("Schema", schema)
        self.lost.update(dict.fromkeys(_lost_of(node)))
        path = node.get("$ref")
        if isinstance(path, str):
            target = None if path in under else self._target(path)
            if target is None:
                return _described({"type": "object"}, node)
            rest = {name: value for name, value in node.items() if name != "$ref"}
            return self._gathered({**target, **rest}, (*under, path), depth + 1)

        def inner(each: Any) -> Schema:
            return self.reduced(each, under, depth + 1)

        kinds = [each for each in _kinds(node) if each in _TYPES and each != "null"]
        if len(kinds) > 1:
            shared = {name: value for name, value in node.items() if name not in _WORDS}
            each_kind = [{**shared, "type": each} for each in kinds]
            branches = [self._gathered(each, under, depth + 1) for each in each_kind]
            return _with_branches(_words(node), branches)
        out = _words(node)
        _set_limits(out, node)
        _set_values(out, node)
        if properties := _map(node.get("properties")):
            out["properties"] = {name: inner(each) for name, each in properties.items()}
        if required := [each for each in _list(node.get("required")) if isinstance(each, str)]:
            out["required"] = required
        if items := _list(node.get("prefixItems")) or _list(node.get("items")):
            out["items"] = _one_of(_distinct([inner(each) for each in items]))
        elif isinstance(node.get("items"), dict):
            out["items"] = inner(node["items"])
        for each in _list(node.get("allOf")):
            _merge(out, self._gathered(each, under, depth + 1), all_of=True)
        branches = [
            self._gathered(each, under, depth + 1)
            for union in ("anyOf", "oneOf")
            for each in _list(node.get(union))
        ]
        return _with_branches(out, branches)

    def _target(self, path: str) -> Schema | None:
        if not path.startswith("#"):
            return None
        found: Any = self._root
        for step in path[1:].split("/")[1:]:
            key = step.replace("~1", "/").replace("~0", "~")
            found = _map(found).get(key)
        return cast("Schema", found) if isinstance(found, dict) else None


def _lost_of(node: Schema) -> Iterator[str]:
    for name, value in node.items():
        if name == "format":
            is_lost = not any(value in known for known in _FORMATS_OF.values())
        elif name == "additionalProperties":
            is_lost = value is not True
        else:
            is_lost = name not in _REDUCED
        if is_lost:
            yield name


def _words(node: Schema) -> Schema:
    """What a schema is called, and its type if it has one only."""
    out: Schema = {name: node[name] for name in _WORDS if isinstance(node.get(name), str)}
    known = [each for each in _kinds(node) if each in _TYPES]
    some = [each for each in known if each != "null"]
    if len(some) == 1:
        out["type"] = some[0]
    elif known and not some:
        out["type"] = "null"
    if node.get("nullable") is True or (some and "null" in known):
        out["nullable"] = True
    return out


def _set_limits(out: Schema, node: Schema) -> None:
    for name in ("format", "pattern"):
        if isinstance(node.get(name), str):
            out[name] = node[name]
    for name in _COUNTS:
        if isinstance(node.get(name), int):
            out[name] = node[name]
    for name, step, stricter in (("minimum", 1, max), ("maximum", -1, min)):
        limits: list[float] = [node[name]] if _is_number(node.get(name)) else []
        beyond = node.get(f"exclusive{name.capitalize()}")
        if _is_number(beyond):
            limits.append(beyond + step if out.get("type") == "integer" else beyond)
        if limits:
            out[name] = stricter(limits)


def _set_values(out: Schema, node: Schema) -> None:
    """Take over const and enum: as strings, or told in the description."""
    values = [node["const"]] if "const" in node else _list(node.get("enum"))
    if not values:
        return
    some = [each for each in values if each is not None]
    if not some:
        out.setdefault("type", "null")
        return
    if len(some) < len(values):
        out["nullable"] = True
        values = some
    kind = out.setdefault("type", _type_of(values))
    if kind != "string":
        told = ", ".join(msgspec.json.encode(each).decode() for each in values)
        out["description"] = f"{out.get('description', '')} (one of: {told})".strip()
        return
    words = [each if isinstance(each, str) else _text(each) for each in values]
    if all(words):  # an empty string is refused
        out["enum"] = list(dict.fromkeys(words))


def _type_of(values: list[Any]) -> str:
    tests: tuple[tuple[str, Callable[[Any], bool]], ...] = (
        ("boolean", lambda each: isinstance(each, bool)),
        ("integer", lambda each: isinstance(each, int) and not isinstance(each, bool)),
        ("number", _is_number),
        ("object", lambda each: isinstance(each, dict)),
        ("array", lambda each: isinstance(each, list)),
    )
    return next((kind for kind, holds in tests if all(map(holds, values))), "string")


def _with_branches(out: Schema, branches: list[Schema]) -> Schema:
    """`out` with the branches of its unions: merged into an object, or left to stand alone."""
    if not branches:
        return out
    if any(each.get("type") == "null" for each in branches):
        out["nullable"] = True
        branches = [each for each in branches if each.get("type") != "null"]
    if any(each.get("nullable") for each in branches):
        out["nullable"] = True
    if "type" in out or "properties" in out:
        for each in branches:
            _merge(out, each, all_of=False)
        return out
    finished = _distinct([_finished({**each, "nullable": None}) for each in branches])
    if len(finished) == 1:
        _merge(out, finished[0], all_of=True)
    elif finished:
        out["anyOf"] = finished
    else:
        out.setdefault("type", "null")
    return out


def _merge(out: Schema, other: Schema, *, all_of: bool) -> None:
    """Add what `other` says to `out`; of one branch among several only what it has properties."""
    properties = _map(other.get("properties"))
    if properties:
        out["properties"] = {**properties, **_map(out.get("properties"))}
    if all_of:
        required = [*_list(out.get("required")), *_list(other.get("required"))]
        for name, value in other.items():
            out.setdefault(name, value)
        if required:
            out["required"] = list(dict.fromkeys(required))


def _finished(schema: Schema) -> Schema:
    """A schema that says nothing its type does not know, and names only properties it has."""
    out: Schema = {}
    kind = schema.get("type")
    if kind is None:
        kind = next((each for name, each in _BY_KEYWORD.items() if name in schema), None)
    if kind is None and "anyOf" not in schema:
        kind = _UNKNOWN["type"]
    if kind is not None:
        out["type"] = kind
    for name in (*_WORDS, "nullable"):
        if schema.get(name):
            out[name] = schema[name]
    if kind is None:
        return {**out, "anyOf": schema["anyOf"]}
    if schema.get("format") in _FORMATS_OF.get(kind, ()):
        out["format"] = schema["format"]
    out.update({name: schema[name] for name in _KEPT_OF.get(kind, ()) if name in schema})
    if kind == "string" and "enum" in schema:
        out["enum"] = schema["enum"]
    if kind == "array":
        out["items"] = schema.get("items", _UNKNOWN)
    if kind == "object" and (properties := _map(schema.get("properties"))):
        out["properties"] = properties
        required = [each for each in _list(schema.get("required")) if each in properties]
        if required:
            out["required"] = list(dict.fromkeys(required))
    return out


def _described(schema: Schema, by: Schema) -> Schema:
    text = by.get("description")
    return {**schema, "description": text} if isinstance(text, str) else schema


def _one_of(schemas: list[Schema]) -> Schema:
    return schemas[0] if len(schemas) == 1 else {"anyOf": schemas}


def _distinct(schemas: Sequence[Schema]) -> list[Schema]:
    return [each for at, each in enumerate(schemas) if each not in schemas[:at]]


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _text(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _map(value: Any) -> Schema:
    return cast("Schema", value) if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return cast("list[Any]", value) if isinstance(value, list) else []
