"""Values made for a JSON Schema conform to it."""

from typing import Any

import pytest

from plexus_proxy.demo.example import example

TEXT = "weather in Oslo"


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        (None, TEXT),
        ({}, TEXT),
        ({"type": "string"}, TEXT),
        ({"type": "string", "minLength": 20}, TEXT + "....."),
        ({"type": "string", "maxLength": 7}, "weather"),
        ({"type": "string", "format": "date"}, "2026-01-01"),
        ({"type": "string", "enum": ["c", "f"]}, "c"),
        ({"const": 7}, 7),
        ({"type": ["null", "boolean"]}, True),
        ({"type": "null"}, None),
        ({"type": "integer"}, 1),
        ({"type": "integer", "minimum": 5}, 5),
        ({"type": "integer", "exclusiveMinimum": 5}, 6),
        ({"type": "integer", "maximum": -3}, -3),
        ({"type": "integer", "multipleOf": 4, "minimum": 5}, 8),
        ({"type": "number", "exclusiveMaximum": 1}, 0.5),
        ({"type": "array", "items": {"type": "integer"}, "minItems": 2}, [1, 1]),
        ({"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}]}, [1, TEXT]),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, 1),
        ({"oneOf": [{"type": "boolean"}], "description": "x"}, True),
        (
            {
                "type": "object",
                "properties": {"a": {"type": "integer"}, "b": {"type": "string"}},
                "required": ["a"],
            },
            {"a": 1},
        ),
        (
            {
                "$defs": {"unit": {"enum": ["celsius"]}},
                "properties": {"unit": {"$ref": "#/$defs/unit"}},
                "required": ["unit"],
            },
            {"unit": "celsius"},
        ),
        (
            {
                "allOf": [
                    {"properties": {"a": {"type": "integer"}}, "required": ["a"]},
                    {"properties": {"b": {"type": "boolean"}}, "required": ["b"]},
                ]
            },
            {"a": 1, "b": True},
        ),
    ],
)
def test_a_schema_gets_a_conforming_value(schema: Any, value: Any) -> None:
    assert example(schema, TEXT) == value


def test_a_schema_that_contains_itself_ends() -> None:
    schema = {
        "$defs": {"node": {"properties": {"next": {"$ref": "#/$defs/node"}}, "required": ["next"]}},
        "$ref": "#/$defs/node",
    }
    assert isinstance(example(schema, TEXT), dict)


def test_a_reference_to_nowhere_is_a_string() -> None:
    assert example({"$ref": "#/$defs/none"}, TEXT) == TEXT


def test_a_reference_to_itself_ends() -> None:
    assert example({"$defs": {"a": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"}, TEXT) == TEXT
