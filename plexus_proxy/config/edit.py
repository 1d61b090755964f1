"""Changes to the text of a config that leave everything else in it as its author wrote it.

`edit` and `remove` are pure: text in, text out. ruamel reads the text with every plain scalar as
the text it is, so that numbers, `${NAME}` and quotes come out as they went in; comments, order and
anchors it keeps itself, but for comments behind what is removed or added, which `_tidied` puts
right. Whatever comes out must read (by the reader that serves, tree.py) as the old text with just
this change, or the edit is refused: an edit is right or is not made.

`save` writes such a text: if it can be used, says nothing worse than the old one, and nobody else
has written meanwhile. All of it takes seconds with thousands of keys: call it off the loop.
"""

import errno
import fcntl
import io
import os
import re
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any, cast

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import YAMLError
from ruamel.yaml.resolver import VersionedResolver
from ruamel.yaml.scalarstring import DoubleQuotedScalarString, ScalarString

from plexus_proxy.config.files import overwrite_file, replace_file
from plexus_proxy.config.load import UnreadableFile, load, locate, read_text
from plexus_proxy.config.problems import Problem, Problems, child
from plexus_proxy.config.tree import Map, read_tree, resolve
from plexus_proxy.settings import Settings

BACKUP = "plexus.before-edit.yaml"
"""In DATA_DIR: the text before an edit that had to be written in place."""
_LARGE_CHARS = 32_768
_LOCK = "plexus.edit.lock"
_NO_RENAME = {errno.EBUSY, errno.EXDEV, errno.EROFS, errno.EACCES, errno.EPERM}
"""A mounted file cannot be replaced, and the folder around it is often not ours to write to."""

Place = Sequence[str | int]
"""Keys of mappings and indices of lists, from the top of the file."""


class EditError(Exception):
    """Nothing was changed; the message says why and holds no secret."""


class NoSuchPlace(EditError):
    """The path leads nowhere in this text."""


class NotEditable(EditError):
    """The text is no YAML, or the change cannot be made without touching something else."""


class Refused(EditError):
    """The edited config cannot be used, or has problems that it did not have before."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems


class Changed(EditError):
    """Somebody else has changed the file since it was read."""


class CannotSave(EditError):
    """The file cannot be written."""


# --- text → text ---


def edit(text: str, place: Place, value: Any) -> str:
    """`text` with `value` (plain: None, bool, int, float, str, list, dict) at `place`.

    Mappings on the way are made if they are not there; an index one past the end appends. What of
    an old list or mapping is the same in `value` keeps its comments and spelling.
    Raises NoSuchPlace, NotEditable.
    """

    def change(root: Any) -> None:
        node, key = _parent(root, place, make=True)
        there = _holds(node, key)
        if not there:
            _in_block_style(node)
        if there:
            node[key] = _updated(node[key], value)
        elif isinstance(key, int):
            node.append(_written(value))
        else:
            node[key] = _written(value)

    return _changed(text, place, change, lambda after: after == value)


def remove(text: str, place: Place) -> str:
    """`text` without what is at `place`. Raises NoSuchPlace, NotEditable."""

    def change(root: Any) -> None:
        node, key = _parent(root, place, make=False)
        if not _holds(node, key):
            raise NoSuchPlace(f"{_named(place)} is not there.")
        del node[key]
        if not node and len(place) > 1:
            around, name = _parent(root, place[:-1], make=False)
            around[name] = _updated(node, type(node)())

    return _changed(text, place, change, None)


_Change = Callable[[Any], None]
"""Makes the change in ruamel's tree."""
_Wanted = Callable[[Any], bool] | None
"""Judges what is at the place afterwards; None: nothing shall be."""


def _changed(text: str, place: Place, change: _Change, wanted: _Wanted) -> str:
    if not place:
        raise NoSuchPlace("The config as a whole cannot be replaced by an edit.")
    plain = text.replace("\r\n", "\n")
    problems = Problems()
    before = read_tree(plain, problems)
    if before is None:
        raise NotEditable("\n".join(map(str, problems.found)))
    yaml = _yaml(plain)
    changed = _changed_nearby(plain, before, place, yaml, change, wanted)
    if changed is None:
        changed = _round_trip(plain, before, place, yaml, change, wanted)
    return changed.replace("\n", "\r\n") if "\r\n" in text else changed


def _round_trip(
    text: str, before: Map, place: Place, yaml: Any, change: _Change, wanted: _Wanted
) -> str:
    out = io.StringIO()
    try:
        root = yaml.load(text)
        change(root)
        yaml.dump(root, out)
    except YAMLError as error:
        words = "the file uses YAML that cannot be edited from here"
        raise NotEditable(f"{_named(place)}: {words}.") from error
    raw = out.getvalue()
    for candidate in (_tidied(text, raw), raw):
        after = read_tree(candidate, Problems())
        if after is not None and _only(before, after, place, wanted):
            return candidate
    words = "cannot be changed alone: an anchor (&) or merge (<<) shares it, or YAML cannot say it"
    raise NotEditable(f"{_named(place)}: {words}; edit the file itself.")


def _changed_nearby(
    text: str, before: Map, place: Place, yaml: Any, change: _Change, wanted: _Wanted
) -> str | None:
    """The same for a large text, of which ruamel gets only the entry in question and those next to
    it: all of it would take ruamel a millisecond a key. None if that is not enough."""
    if len(text) < _LARGE_CHARS or len(place) < 2:
        return None
    section, name = place[0], place[1]
    entries = before.get(cast(str, section))
    if not isinstance(entries, Map) or not entries or isinstance(name, int):
        return None
    lines = text.splitlines(keepends=True)
    names = list(entries)
    at = names.index(name) if name in entries else len(names) - 1
    first = entries.lines[names[max(at - 1, 0)]]
    behind = [line for line in before.lines.values() if line > before.lines[cast(str, section)]]
    following = entries.lines[names[at + 2]] if at + 2 < len(names) else None
    last = following or min(behind, default=len(lines) + 1)
    if not before.lines[cast(str, section)] < first < last:
        return None
    head = f"{_text(cast(str, section))}:\n"
    window = head + "".join(lines[first - 1 : last - 1])
    tree = read_tree(window, Problems())
    if tree is None:
        return None
    try:
        changed = _round_trip(window, tree, place, yaml, change, wanted)
    except EditError:
        return None
    if not changed.startswith(head):
        return None
    lines[first - 1 : last - 1] = [changed.removeprefix(head)]
    whole = "".join(lines)
    after = read_tree(whole, Problems())
    return whole if after is not None and _only(before, after, place, wanted) else None


def _only(before: Any, after: Any, place: Place, wanted: Callable[[Any], bool] | None) -> bool:
    """Whether the trees differ at `place` in the wanted way, and nowhere else."""
    if not place:
        return wanted is not None and wanted(after)
    key, rest = place[0], place[1:]
    if isinstance(after, list):
        old = cast("list[Any]", before if isinstance(before, list) else [])
        new = cast("list[Any]", after)
        index = cast(int, key)
        if not rest and wanted is None:
            return new == [*old[:index], *old[index + 1 :]]
        at = old[index] if index < len(old) else None
        others = [*old[:index], *old[index + 1 :]] == [*new[:index], *new[index + 1 :]]
        return others and index < len(new) and _only(at, new[index], rest, wanted)
    if not isinstance(after, dict):
        return False
    old_map = cast("dict[Any, Any]", before if isinstance(before, dict) else {})
    new_map = cast("dict[Any, Any]", after)
    others = [each for each in old_map.items() if each[0] != key]
    if others != [each for each in new_map.items() if each[0] != key]:
        return False
    if not rest and wanted is None:
        return key not in new_map
    return key in new_map and _only(old_map.get(key), new_map[key], rest, wanted)


def _named(place: Place) -> str:
    path = ""
    for key in place:
        path = f"{path}[{key}]" if isinstance(key, int) else child(path, key)
    return path


def _parent(root: Any, place: Place, *, make: bool) -> tuple[Any, str | int]:
    """The collection that holds the last key of `place`, and that key."""
    node = root
    for depth, key in enumerate(place):
        if not _can_hold(node, key):
            raise NoSuchPlace(f"{_named(place[:depth])} cannot hold {_named(place[depth:])}.")
        there = _holds(node, key)
        if depth == len(place) - 1:
            if isinstance(key, int) and not there and not (make and key == len(node)):
                raise NoSuchPlace(f"{_named(place)} is not there.")
            return node, key
        if not there or node[key] is None:
            if not make or isinstance(key, int) or isinstance(place[depth + 1], int):
                raise NoSuchPlace(f"{_named(place[: depth + 1])} is not there.")
            _in_block_style(node)
            node[key] = CommentedMap()
        node = node[key]
    raise AssertionError("the path is not empty")


def _can_hold(node: Any, key: str | int) -> bool:
    return isinstance(node, CommentedSeq if isinstance(key, int) else CommentedMap)


def _holds(node: Any, key: str | int) -> bool:
    return key in range(len(node)) if isinstance(key, int) else key in node


def _in_block_style(node: Any) -> None:
    """A collection that was written `{}` or `[]` grows line by line."""
    if not node:
        node.fa.set_block_style()


def _updated(old: Any, value: Any) -> Any:
    """The node for `value`; parts of `old` that stay the same stay the same nodes."""
    if _is_shared(old) or value in ([], {}):  # ruamel puts an emptied one behind its comments
        return _written(value)
    if isinstance(old, CommentedMap) and isinstance(value, Mapping):
        new = cast("Mapping[str, Any]", value)
        node = cast(Any, old)
        for key in [key for key in node if key not in new]:
            del node[key]
        if new:
            _in_block_style(node)
        for key, item in new.items():
            node[key] = _updated(node.get(key), item)
        return node
    if isinstance(old, CommentedSeq) and isinstance(value, list):
        node, items = cast(Any, old), cast("list[Any]", value)
        del node[len(items) :]
        if items:
            _in_block_style(node)
        for index, item in enumerate(items):
            if index < len(node):
                node[index] = _updated(node[index], item)
            else:
                node.append(_written(item))
        return node
    if isinstance(old, str) and not isinstance(value, (Mapping, list)):
        if (str(old) if isinstance(old, ScalarString) else resolve(old)) == value:
            return old
        if isinstance(old, ScalarString) and isinstance(value, str) and "\n" not in value:
            return type(old)(value)
    return _written(value)


def _is_shared(node: Any) -> bool:
    """Whether an anchor is on it: other places may be the same node."""
    anchor = getattr(node, "anchor", None)
    return anchor is not None and anchor.value is not None


def _written(value: Any) -> Any:
    """A new node. Scalars are what is written: `true` is text here, and the text "true" quoted."""
    if isinstance(value, Mapping):
        node = cast(Any, CommentedMap())
        for key, item in cast("Mapping[str, Any]", value).items():
            node[_text(key)] = _written(item)
        if not node:
            node.fa.set_flow_style()
        return node
    if isinstance(value, list):
        node = cast(Any, CommentedSeq([_written(item) for item in cast("list[Any]", value)]))
        if not node:
            node.fa.set_flow_style()
        return node
    if isinstance(value, str):
        return _text(value)
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and not float("-inf") < value < float("inf"):
        return ".nan" if value != value else "-.inf" if value < 0 else ".inf"
    return repr(value)


def _text(value: str) -> str:
    plain = value and "\n" not in value and value != "<<" and resolve(value) == value
    return value if plain else DoubleQuotedScalarString(value)


class _Verbatim(VersionedResolver):
    """Every plain scalar is text, but for merge keys and values that are not written at all."""

    @property
    def versioned_resolver(self) -> Any:
        return {
            "<": [("tag:yaml.org,2002:merge", re.compile("<<"))],
            "": [("tag:yaml.org,2002:null", re.compile("$"))],
        }


def _yaml(text: str) -> Any:
    """A round trip in the indentation of `text`."""
    yaml = cast(Any, YAML())
    yaml.Resolver = _Verbatim
    yaml.preserve_quotes = True
    yaml.allow_duplicate_keys = True  # the first one counts, with a problem of its own
    yaml.width = 1_000_000
    step = _steps(text, r"^( *)[^\s#-][^\n]*:(?: +#.*)?\n(?:[ ]*(?:#.*)?\n)*\1( +)[^\s#-]", 2)
    dash = _steps(text, r"^( *)[^\s#-][^\n]*:(?: +#.*)?\n(?:[ ]*(?:#.*)?\n)*\1( *)- ", 2)
    inner = _steps(text, r"^()(?: *)(- +)[^\s#]", 2)
    yaml.indent(mapping=step, sequence=dash + inner, offset=dash)
    return yaml


def _steps(text: str, pattern: str, usual: int) -> int:
    """The most common indentation of a kind."""
    found = Counter(len(each[2]) for each in re.finditer(pattern, text, re.MULTILINE))
    return found.most_common(1)[0][0] if found else usual


# --- comments ---


def _tidied(old: str, new: str) -> str:
    """`new` with the comments and blank lines that were around what has been removed, and with
    what has been added in front of comments that belong further out."""
    before, after = old.splitlines(keepends=True), new.splitlines(keepends=True)
    head = _common(before, after)
    tail = min(_common(before[::-1], after[::-1]), len(before) - head, len(after) - head)
    changed_before = before[head : len(before) - tail]
    changed_after = after[head : len(after) - tail]
    out = after[:head]
    codes = SequenceMatcher(None, changed_before, changed_after, autojunk=False).get_opcodes()
    for tag, start, end, new_start, new_end in codes:
        gone, come = changed_before[start:end], changed_after[new_start:new_end]
        if tag == "equal":
            out += come
        elif gone:
            leading, trailing = _around(gone)
            kept = set(come)
            out += [line for line in leading if line not in kept]
            out += come
            out += [line for line in trailing if line not in kept]
        else:
            _add(out, come)
    return "".join(out + after[len(after) - tail :])


def _common(one: list[str], other: list[str]) -> int:
    pairs = zip(one, other, strict=False)
    return next((index for index, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))


def _around(lines: list[str]) -> tuple[list[str], list[str]]:
    """Comments and blank lines before the first and after the last line that says something."""
    said = [index for index, line in enumerate(lines) if not _is_aside(line)]
    if not said:
        return lines, []
    return lines[: said[0]], lines[said[-1] + 1 :]


def _add(out: list[str], lines: list[str]) -> None:
    """Put new lines behind `out`, but before comments that are further out than they are."""
    begin = next((line for line in lines if not _is_aside(line)), None)
    if begin is None:
        out += lines
        return
    column = _column(begin)
    cut = len(out)
    while cut and _is_aside(out[cut - 1]):
        cut -= 1
    asides = out[cut:]
    first = next(
        (at for at, line in enumerate(asides) if line.strip() and _column(line) < column), None
    )
    if first is None:
        first = len(asides) if any(line.strip() for line in asides) else 0
    while first and not asides[first - 1].strip():
        first -= 1
    out[cut + first :] = [*lines, *asides[first:]]


def _is_aside(line: str) -> bool:
    words = line.strip()
    return not words or words.startswith("#")


def _column(line: str) -> int:
    return len(line) - len(line.lstrip(" "))


# --- text → file ---


def save(settings: Settings, text: str, was: str) -> None:
    """Make `text` the config, edited from `was`, which the file must still hold.

    A symlink stays one: its far end is written. Raises Refused, Changed, CannotSave.
    """
    if problems := _introduced(settings, text, was):
        raise Refused(problems)
    path = locate(settings)
    with _one_at_a_time(settings.data_dir):
        try:
            real = path.resolve(strict=True)
            found = read_text(real)
        except (OSError, UnreadableFile) as error:
            raise CannotSave(f"{path} cannot be read any more.") from error
        if found != was:
            raise Changed(f"{path} has been changed meanwhile; look at it and edit again.")
        try:
            _write(real, text, was, settings.data_dir)
        except OSError as error:
            raise CannotSave(f"{path} cannot be written: {error.strerror}.") from error


def _introduced(settings: Settings, text: str, was: str) -> list[Problem]:
    """All errors, and the warnings that the old text does not have. Lines and indices shift, so
    they do not tell warnings apart."""
    snapshot, problems = load(text, settings.environment, loopback=settings.loopback)
    if snapshot is None:
        return [each for each in problems if each.severity == "error"]
    known = Counter(
        _kind(each) for each in load(was, settings.environment, loopback=settings.loopback)[1]
    )
    return list(_beyond(known, problems))


def _beyond(known: Counter[tuple[str, str]], problems: Sequence[Problem]) -> Iterator[Problem]:
    for each in problems:
        known[_kind(each)] -= 1
        if known[_kind(each)] < 0:
            yield each


def _kind(problem: Problem) -> tuple[str, str]:
    return re.sub(r"\[\d+\]", "[]", problem.path), problem.message


def _write(real: Path, text: str, was: str, data_dir: Path) -> None:
    """By rename; where that cannot be, in place, with what was there kept in DATA_DIR."""
    try:
        replace_file(real, text, like=real)
    except OSError as error:
        if error.errno not in _NO_RENAME:
            raise
    else:
        return
    replace_file(data_dir / BACKUP, was)
    try:
        overwrite_file(real, text)
    except OSError:
        with suppress(OSError):
            overwrite_file(real, was)
        raise


@contextmanager
def _one_at_a_time(data_dir: Path) -> Generator[None]:
    """Between the workers that share DATA_DIR: nobody else saves between our look and our write."""
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        handle = os.open(data_dir / _LOCK, os.O_CREAT | os.O_RDWR, 0o600)
    except OSError as error:
        raise CannotSave(f"DATA_DIR {data_dir} cannot be written: {error.strerror}.") from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
