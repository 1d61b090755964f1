"""YAML text → plain values that remember their lines, in one pass over the parser's events.

Values are resolved by the YAML 1.2 core schema (`yes` and `on` are text, dates are text); merge
keys (`<<`) work. Source: yaml.org/spec/1.2.2 §10.3.2.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Any, cast

import yaml
from yaml.error import MarkedYAMLError, YAMLError
from yaml.reader import ReaderError

from plexus_proxy.config.problems import Problems, child

MAX_DEPTH = 100
MAX_NODES = 5_000_000
"""Nodes after aliases are expanded: a bomb of nested aliases ends here."""
MERGE = "<<"


class Map(dict[str, Any]):
    """A YAML mapping; keys are the text they were written as."""

    __slots__ = ("depth", "line", "lines", "size")

    def __init__(self, line: int) -> None:
        super().__init__()
        self.line = line
        self.lines: dict[str, int] = {}
        self.size = 1
        self.depth = 1

    def line_of(self, key: str) -> int:
        return self.lines.get(key, self.line)


class Seq(list[Any]):
    """A YAML sequence."""

    __slots__ = ("depth", "line", "lines", "size")

    def __init__(self, line: int) -> None:
        super().__init__()
        self.line = line
        self.lines: list[int] = []
        self.size = 1
        self.depth = 1


class _Stop(Exception):
    """Reading cannot go on; the problem is recorded."""


def read_tree(text: str, problems: Problems) -> Map | None:
    """The mapping a config consists of; None if there is none, and then `problems` says why."""
    reader = _Reader(problems)
    try:
        reader.read(_events(text))
    except _Stop:
        return None
    except MarkedYAMLError as error:
        mark = cast(Any, error).problem_mark or cast(Any, error).context_mark
        line = mark.line + 1 if mark is not None else None
        words = f"not valid YAML: {_without_quotes(error)}"
        if line is not None and "${" in "".join(text.splitlines()[line - 1 : line]):
            words += "; inside { } and [ ], put a text with ${…} in quotes"
        problems.error("", line, words)
        return None
    except ReaderError as error:
        line = text.count("\n", 0, cast(int, cast(Any, error).position)) + 1
        problems.error("", line, "not valid YAML: a character that YAML does not allow")
        return None
    except YAMLError:
        problems.error("", None, "not valid YAML")
        return None
    if not isinstance(reader.root, Map):
        found = "is empty" if reader.root is None else "is not a mapping"
        wanted = "expected a mapping with adminKey, providers, models and keys"
        problems.error("", None, f"the config {found}; {wanted}")
        return None
    return reader.root


def _events(text: str) -> Iterator[Any]:
    """The events of libyaml, which is ten times as fast as a parser in Python."""
    parse = cast(Any, yaml).parse
    return parse(text, Loader=yaml.CSafeLoader)


def _without_quotes(error: MarkedYAMLError) -> str:
    """The parser's own words without what it quotes of the file, which may be a secret."""
    words = str(cast(Any, error).problem or cast(Any, error).context or "cannot be parsed")
    words = words.replace(r"'\t'", "a tab")
    harmless = _HARMLESS.match(words)
    kept = harmless[0] if harmless is not None else ""
    return kept if kept == words else f"{kept}…"


_HARMLESS = re.compile(r"(?:[^'\"\n]|'.'|\"'\"|(?<=found )'<[a-z ]+>')*")
"""Words, single characters and the parser's names of tokens such as `'<block end>'`."""


class _Frame:
    """A collection that is being read."""

    __slots__ = ("anchor", "into", "key", "merges")

    def __init__(self, into: Map | Seq, anchor: str | None) -> None:
        self.into = into
        self.anchor = anchor
        self.key: tuple[str, int] | None = None
        """Of a mapping: the key whose value comes next, and its line."""
        self.merges: list[tuple[Any, int]] = []


class _Reader:
    """A stack of open collections. A mapping's scalars are its keys and values in turn."""

    def __init__(self, problems: Problems) -> None:
        self.root: Any = None
        self._problems = problems
        self._open: list[_Frame] = []
        self._anchors: dict[str, Any] = {}
        self._documents = 0

    def read(self, events: Iterable[Any]) -> None:
        for event in events:
            kind = type(event).__name__
            if kind == "ScalarEvent":
                self._scalar(event)
            elif kind == "MappingStartEvent":
                self._begin(Map(event.start_mark.line + 1), event)
            elif kind == "SequenceStartEvent":
                self._begin(Seq(event.start_mark.line + 1), event)
            elif kind in ("MappingEndEvent", "SequenceEndEvent"):
                self._end()
            elif kind == "AliasEvent":
                self._alias(event)
            elif kind == "DocumentStartEvent":
                self._documents += 1
                if self._documents > 1:
                    line = event.start_mark.line + 1
                    self._fail(line, "a second YAML document starts here; a config is one document")

    def _scalar(self, event: Any) -> None:
        line = event.start_mark.line + 1
        top = self._open[-1] if self._open else None
        if top is not None and top.key is None and type(top.into) is Map:
            text: str = event.value
            plain = event.style is None or event.style == ""
            if event.anchor is not None:
                self._anchors[event.anchor] = text
            self._name(top, text, line, merge=plain and text == MERGE)
            return
        tag = event.tag
        if tag is not None:
            value = self._tagged(str(tag), event.value, line)
        elif event.style:
            value = event.value
        else:
            value = resolve(event.value)
        if event.anchor is not None:
            self._anchors[event.anchor] = value
        self._put(value, line)

    def _tagged(self, tag: str, text: str, line: int) -> Any:
        name = tag.removeprefix("tag:yaml.org,2002:").removeprefix("!!")
        if name in ("str", "!"):
            return text
        if name in ("null", "bool", "int", "float"):
            return resolve(text)
        return self._fail(line, "a YAML tag that has no meaning in a config")

    def _name(self, top: _Frame, key: str, line: int, *, merge: bool) -> None:
        top.key = (key, line)
        into = cast(Map, top.into)
        if key in into.lines and not merge:
            self._problems.error(
                child(self._path(self._open[:-1]), key),
                line,
                f"is there twice; the first is on line {into.lines[key]}",
            )

    def _begin(self, into: Map | Seq, event: Any) -> None:
        top = self._open[-1] if self._open else None
        if top is not None and top.key is None and type(top.into) is Map:
            self._fail(into.line, "a key must be text, not a list or a mapping")
        if len(self._open) >= MAX_DEPTH:
            self._fail(into.line, f"nested more than {MAX_DEPTH} levels deep")
        self._open.append(_Frame(into, event.anchor))

    def _end(self) -> None:
        frame = self._open.pop()
        into = frame.into
        if type(into) is Map:
            self._merge(into, frame)
        if frame.anchor is not None:
            self._anchors[frame.anchor] = into
        self._put(into, into.line)

    def _alias(self, event: Any) -> None:
        line = event.start_mark.line + 1
        if event.anchor not in self._anchors:
            self._fail(line, "an alias (*) whose anchor (&) is not above it")
        value = self._anchors[event.anchor]
        top = self._open[-1] if self._open else None
        if top is not None and top.key is None and type(top.into) is Map:
            if not isinstance(value, str):
                self._fail(line, "a key must be text, not a list or a mapping")
            self._name(top, value, line, merge=False)
            return
        self._put(value, line)

    def _put(self, value: Any, line: int) -> None:
        """A finished value goes into the collection around it."""
        if not self._open:
            self.root = value
            return
        top = self._open[-1]
        into = top.into
        if isinstance(value, (Map, Seq)):
            into.size += value.size
            into.depth = max(into.depth, value.depth + 1)
            if into.size > MAX_NODES or into.depth > MAX_DEPTH:
                self._fail(line, "too large once its aliases are expanded")
        else:
            into.size += 1
        if type(into) is Seq:
            into.append(value)
            into.lines.append(line)
            return
        into = cast(Map, into)
        assert top.key is not None
        key, key_line = top.key
        top.key = None
        if key == MERGE and isinstance(value, (Map, Seq)):
            top.merges.append((value, key_line))
        elif key not in into.lines:
            into[key] = value
            into.lines[key] = key_line

    def _merge(self, into: Map, frame: _Frame) -> None:
        """`<<`: what the mapping does not say itself comes from the merged ones, first one wins."""
        for source, line in frame.merges:
            for each in [source] if isinstance(source, Map) else source:
                if not isinstance(each, Map):
                    self._fail(line, "<< must name a mapping or a list of mappings")
                for key, value in each.items():
                    if key not in into:
                        into[key] = value
                        into.lines[key] = each.line_of(key)

    def _path(self, frames: list[_Frame]) -> str:
        path = ""
        for frame in frames:
            if type(frame.into) is Seq:
                path += f"[{len(frame.into)}]"
            elif frame.key is not None:
                path = child(path, frame.key[0])
        return path

    def _fail(self, line: int, message: str) -> Any:
        self._problems.error(self._path(self._open), line, message)
        raise _Stop


_WORDS: dict[str, bool | float | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **{f"{sign}{word}": float("inf") for sign in ("", "+") for word in (".inf", ".Inf", ".INF")},
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), float("-inf")),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
}
_INT = re.compile(r"[-+]?[0-9]+")
_OTHER_BASE = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_MAX_DIGITS = 300


def resolve(text: str) -> Any:
    """What a plain (unquoted) scalar means."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in "+-.0123456789" or len(text) > _MAX_DIGITS:
        return text
    if _INT.fullmatch(text):
        return int(text)
    if _OTHER_BASE.fullmatch(text):
        return int(text[2:], 8 if text[1] == "o" else 16)
    return float(text) if _FLOAT.fullmatch(text) else text
