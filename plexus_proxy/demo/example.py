"""A value that conforms to a JSON Schema: arguments for a tool, or a structured answer. Pure.

Covers what tools are described with: types, const and enum, required properties, local references,
unions, and the bounds of numbers, strings and arrays. `pattern` is beyond it.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, cast

_FORMATS = {
    "date": "2026-01-01",
    "time": "12:00:00Z",
    "date-time": "2026-01-01T12:00:00Z",
    "email": "demo@example.com",
    "uri": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
    "ipv4": "192.0.2.1",
    "hostname": "example.com",
}
_MAX_DEPTH = 12

Schema = Mapping[str, Any]


def example(schema: object, text: str) -> Any:
    """A conforming value; strings without other constraints become `text`."""
    root: Schema = cast(Schema, schema) if isinstance(schema, Mapping) else {}
    return _Example(root, text or "demo").of(root, 0)


class _Example:
    def __init__(self, root: Schema, text: str) -> None:
        self._root = root
        self._text = text

    def of(self, schema: object, depth: int) -> Any:
        if not isinstance(schema, Mapping) or depth > _MAX_DEPTH:
            return self._text
        node = self._merged(cast(Schema, schema), depth)
        if "const" in node:
            return node["const"]
        if node.get("enum"):
            return node["enum"][0]
        for union in ("anyOf", "oneOf"):
            if node.get(union):
                rest = {key: value for key, value in node.items() if key != union}
                return self.of({**rest, **self._merged(node[union][0], depth)}, depth + 1)
        match _type(node):
            case "object":
                return self._object(node, depth)
            case "array":
                return self._array(node, depth)
            case "integer":
                return int(_number(node, whole=True))
            case "number":
                return _number(node, whole=False)
            case "boolean":
                return True
            case "null":
                return None
            case _:
                return self._string(node)

    def _merged(self, schema: Schema, depth: int) -> Schema:
        """`schema` with its reference and its `allOf` parts written out."""
        parts: list[Any] = list(schema.get("allOf", ()))
        if "$ref" in schema:
            parts.append(self._resolve(str(schema["$ref"])))
        if not parts or depth > _MAX_DEPTH:
            return schema
        merged: dict[str, Any] = {}
        for part in (*parts, {k: v for k, v in schema.items() if k not in ("$ref", "allOf")}):
            piece = self._merged(part, depth + 1)
            properties = {**merged.get("properties", {}), **piece.get("properties", {})}
            required = [*merged.get("required", ()), *piece.get("required", ())]
            merged.update(piece)
            if properties:
                merged.update(properties=properties, required=required)
        return merged

    def _resolve(self, reference: str) -> Schema:
        node: Any = self._root
        for step in reference.removeprefix("#").strip("/").split("/"):
            if step and isinstance(node, Mapping):
                node = cast(Schema, node).get(step)
        return cast(Schema, node) if isinstance(node, Mapping) else {}

    def _object(self, node: Schema, depth: int) -> dict[str, Any]:
        properties = cast("Mapping[str, Any]", node.get("properties", {}))
        wanted = cast("Sequence[str]", node.get("required", ()))
        return {name: self.of(properties.get(name, {}), depth + 1) for name in wanted}

    def _array(self, node: Schema, depth: int) -> list[Any]:
        if node.get("prefixItems"):
            return [self.of(item, depth + 1) for item in node["prefixItems"]]
        return [self.of(node.get("items", {}), depth + 1)] * max(1, int(node.get("minItems", 1)))

    def _string(self, node: Schema) -> str:
        if node.get("format") in _FORMATS:
            return _FORMATS[node["format"]]
        padded = self._text.ljust(int(node.get("minLength", 0)), ".")
        return padded[: int(node.get("maxLength", len(padded)))]


def _type(node: Schema) -> str:
    kind = node.get("type")
    if isinstance(kind, list):
        kinds = cast("list[str]", kind)
        kind = next((each for each in kinds if each != "null"), "null")
    if kind is None:
        return "object" if "properties" in node else "array" if "items" in node else "string"
    return str(cast(object, kind))


def _number(node: Schema, *, whole: bool) -> float:
    """The smallest suitable number from 1 up, or the largest below an upper bound."""
    step = float(node.get("multipleOf", 1 if whole else 0))
    low = float(node.get("minimum", -math.inf))
    if "exclusiveMinimum" in node:
        low = max(low, float(node["exclusiveMinimum"]) + (step or 0.5))
    high = float(node.get("maximum", math.inf))
    if "exclusiveMaximum" in node:
        high = min(high, float(node["exclusiveMaximum"]) - (step or 0.5))
    number = min(max(1.0, low), high)
    if step:
        number = math.ceil(number / step) * step
        if number > high:
            number -= step
    return number
