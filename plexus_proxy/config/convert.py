"""A tree of plain values → the Structs of model.py, mapping by mapping, with every problem found.

The types themselves say what is expected (read once through `msgspec.inspect`). `msgspec.convert`
would stop at the first error and knows no lines; and its messages quote values.
"""

import difflib
import math
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, Final, cast

from msgspec import NODEFAULT, Struct, inspect

from plexus_proxy.config.environment import MARK, NotSet, expand
from plexus_proxy.config.later import Later
from plexus_proxy.config.problems import Problems, child
from plexus_proxy.config.tree import Map, Seq, resolve
from plexus_proxy.crypto import Secret


class _Invalid:
    """What stands for a value that cannot be used; its problem is recorded."""


INVALID: Final = _Invalid()


@lru_cache
def _shape(kind: type[Struct]) -> tuple[inspect.StructType, dict[str, inspect.Field]]:
    """A Struct's type and its fields by their names in YAML."""
    info = inspect.type_info(kind)
    assert isinstance(info, inspect.StructType)
    return info, {field.encode_name: field for field in info.fields}


def _tells_null(field: inspect.Field) -> bool:
    """Its null means something else than its absence."""
    return (
        field.default is NODEFAULT
        and field.default_factory is NODEFAULT  # UNSET counts as no default
        and isinstance(field.type, inspect.UnionType)
        and field.type.includes_none
    )


class Conversion:
    """Converts one file's tree; what it finds wrong is in `problems`."""

    def __init__(self, problems: Problems, environment: Mapping[str, str]) -> None:
        self._problems = problems
        self._environment = environment
        self.later = Later(problems)

    def fields(self, kind: type[Struct], node: Map, path: str) -> dict[str, Any]:
        """The usable fields of a mapping by their names in Python; collections hold what is good.

        Unknown keys, wrong types and missing keys are recorded.
        """
        info, known = _shape(kind)
        node = self.later.prepare(kind, node, path)
        out: dict[str, Any] = {}
        for key, value in node.items():
            field = known.get(key)
            if field is None:
                if key != info.tag_field:
                    self._unknown(kind, known, key, node.line_of(key), path)
                continue
            if value is None and not field.required and not _tells_null(field):
                continue
            found = self._value(field.type, value, child(path, key), node.line_of(key))
            if found is not INVALID:
                out[field.name] = found
        for key, field in known.items():
            if field.required and key not in node:
                self._problems.error(child(path, key), node.line, "is required")
        return out

    def _struct(self, kind: type[Struct], value: Any, path: str, line: int) -> Any:
        info, known = _shape(kind)
        if value is None and not any(field.required for field in known.values()):
            return kind()
        if not isinstance(value, Map):
            return self._wrong(info, value, path, line)
        found = self.fields(kind, value, path)
        if any(field.required and field.name not in found for field in known.values()):
            return INVALID
        return kind(**found)

    def _unknown(
        self, kind: type[Struct], known: Iterable[str], key: str, line: int, path: str
    ) -> None:
        if self.later.takes(kind, key, path, line):
            return
        self._problems.warning(child(path, key), line, f"unknown key; {nearest(key, known)}")

    def _value(self, kind: inspect.Type, value: Any, path: str, line: int) -> Any:
        """`value` as `kind`, or INVALID."""
        match kind:
            case inspect.AnyType():
                return self._plain(value, path, line)
            case inspect.UnionType():
                return self._union(kind, value, path, line)
            case inspect.StructType():
                return self._struct(kind.cls, value, path, line)
            case inspect.DictType() if isinstance(value, Map):
                return self._mapping(kind, value, path)
            case inspect.VarTupleType() if isinstance(value, Seq):
                return self._sequence(kind, value, path, line)
            case _:
                return self._scalar(kind, value, path, line)

    def _mapping(self, kind: inspect.DictType, value: Map, path: str) -> dict[str, Any]:
        out: dict[str, Any] = {}
        lines = value.lines
        for key, each in value.items():
            found = self._value(kind.value_type, each, child(path, key), lines[key])
            if found is not INVALID:
                out[key] = found
        return out

    def _sequence(self, kind: inspect.VarTupleType, value: Seq, path: str, line: int) -> Any:
        if kind.min_length is not None and len(value) < kind.min_length:
            self._problems.error(path, line, "must not be empty")
            return INVALID
        found = [
            self._value(kind.item_type, each, f"{path}[{index}]", value.lines[index])
            for index, each in enumerate(value)
        ]
        return tuple(each for each in found if each is not INVALID)

    def _union(self, kind: inspect.UnionType, value: Any, path: str, line: int) -> Any:
        if value is None and kind.includes_none:
            return None
        choices = [each for each in kind.types if not isinstance(each, inspect.NoneType)]
        structs = [each for each in choices if isinstance(each, inspect.StructType)]
        if len(structs) > 1 and isinstance(value, Map):
            return self._tagged(structs, value, path, line)
        collections = (inspect.DictType, inspect.StructType, inspect.VarTupleType)
        for each in choices:
            if isinstance(value, Map):
                fits = isinstance(each, (inspect.DictType, inspect.StructType))
            elif isinstance(value, Seq):
                fits = isinstance(each, inspect.VarTupleType)
            else:
                fits = not isinstance(each, collections)
            if fits:
                return self._value(each, value, path, line)
        return self._wrong(kind, value, path, line)

    def _tagged(self, structs: list[inspect.StructType], value: Map, path: str, line: int) -> Any:
        """The variant that the tag field names."""
        name = structs[0].tag_field
        assert name is not None
        if name not in value:
            names = ", ".join(str(each.tag) for each in structs)
            self._problems.error(child(path, name), line, f"is required: one of {names}")
            return INVALID
        tag = self._text(value[name], child(path, name), value.line_of(name))
        for each in structs:
            if each.tag == tag:
                return self._struct(each.cls, value, path, line)
        if tag is not INVALID:
            names = ", ".join(str(each.tag) for each in structs)
            place = child(path, name)
            self._problems.error(place, value.line_of(name), f"expected one of {names}")
        return INVALID

    def _scalar(self, kind: inspect.Type, value: Any, path: str, line: int) -> Any:
        expanded = value
        if isinstance(value, str):
            expanded = self._text(value, path, line)
            if expanded is INVALID:
                return INVALID
            if expanded is not value and not isinstance(
                kind, (inspect.StrType, inspect.CustomType)
            ):
                expanded = resolve(cast(str, expanded))
        match kind:
            case inspect.StrType() if isinstance(expanded, str):
                return expanded
            case inspect.CustomType(cls=cls) if cls is Secret and isinstance(expanded, str):
                return Secret(expanded)
            case inspect.LiteralType() if isinstance(expanded, str):
                if expanded in kind.values:
                    return expanded
                names = ", ".join(map(str, kind.values))
                self._problems.error(path, line, f"expected one of {names}")
                return INVALID
            case inspect.BoolType() if isinstance(expanded, bool):
                return expanded
            case inspect.FloatType() | inspect.IntType() if _is_number(expanded):
                return self._number(kind, cast(float, expanded), path, line)
            case _:
                return self._wrong(kind, expanded, path, line)

    def _number(
        self, kind: inspect.FloatType | inspect.IntType, value: float, path: str, line: int
    ) -> Any:
        if not math.isfinite(value):
            self._problems.error(path, line, "must be a finite number")
            return INVALID
        if isinstance(kind, inspect.IntType):
            if value != int(value):
                self._problems.error(path, line, "expected a whole number")
                return INVALID
            value = int(value)
        for wrong, words in (
            (kind.ge is not None and value < kind.ge, f"must be at least {kind.ge}"),
            (kind.gt is not None and value <= kind.gt, f"must be more than {kind.gt}"),
            (kind.le is not None and value > kind.le, f"must be at most {kind.le}"),
            (kind.lt is not None and value >= kind.lt, f"must be less than {kind.lt}"),
        ):
            if wrong:
                self._problems.error(path, line, words)
                return INVALID
        return value

    def _text(self, value: Any, path: str, line: int) -> Any:
        """A string with its variables replaced; other things stay what they are."""
        if not isinstance(value, str) or MARK not in value:
            return value
        try:
            return expand(value, self._environment)
        except NotSet as missing:
            self._problems.error(
                path,
                line,
                f"the environment variable {missing.name} is not set;"
                f" set it, or give a default: ${{{missing.name}:-…}}",
            )
            return INVALID

    def _plain(self, value: Any, path: str, line: int) -> Any:
        """Free content, such as extraBody: dicts, lists and scalars."""
        if isinstance(value, Map):
            return {
                key: self._plain(each, child(path, key), value.lines[key])
                for key, each in value.items()
            }
        if isinstance(value, Seq):
            return [
                self._plain(each, f"{path}[{index}]", value.lines[index])
                for index, each in enumerate(value)
            ]
        if isinstance(value, float) and not math.isfinite(value):
            self._problems.error(path, line, "must be a finite number")
            return INVALID
        return self._text(value, path, line)

    def _wrong(self, kind: inspect.Type, value: Any, path: str, line: int) -> _Invalid:
        self._problems.error(
            path, line, f"expected {_wanted(kind)}, found {_found(value)}{_hint(kind, value)}"
        )
        return INVALID


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _wanted(kind: inspect.Type) -> str:
    match kind:
        case inspect.UnionType():
            words = [_wanted(each) for each in kind.types if not isinstance(each, inspect.NoneType)]
            return " or ".join(dict.fromkeys(words))
        case inspect.LiteralType():
            return f"one of {', '.join(map(str, kind.values))}"
        case inspect.BoolType():
            return "true or false"
        case inspect.IntType():
            return "a whole number"
        case inspect.FloatType():
            return "a number"
        case inspect.VarTupleType():
            return "a list"
        case inspect.DictType() | inspect.StructType():
            return "a mapping"
        case _:
            return "text"


def _found(value: Any) -> str:
    match value:
        case None:
            return "nothing"
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case str():
            return "text"
        case Seq():
            return "a list"
        case _:
            return "a mapping"


def _hint(kind: inspect.Type, value: Any) -> str:
    if _wanted(kind).startswith("text") and isinstance(value, (bool, int, float)):
        return "; put it in quotes"
    if isinstance(kind, inspect.DictType) and value is None:
        return "; write {} for none"
    if isinstance(kind, inspect.VarTupleType) and isinstance(value, str):
        return "; write it as [one, two]"
    return ""


@lru_cache(maxsize=1024)
def _nearest(key: str, known: tuple[str, ...]) -> str:
    plain = {name.lower().replace("_", ""): name for name in known}
    close = difflib.get_close_matches(key.lower().replace("_", "").replace("-", ""), plain, 1)
    if close:
        return f"did you mean '{plain[close[0]]}'?"
    return f"known here: {', '.join(known)}"


def nearest(key: str, known: Iterable[str]) -> str:
    """The known key an unknown one was probably meant to be, as the end of a sentence."""
    return _nearest(key, tuple(known))
