"""Editing plexus.yaml: the change, the whole change, and nothing but the change."""

import errno
import os
import re
import stat
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.canary import canary, leaks_in

from plexus_proxy.config import edit as editing
from plexus_proxy.config.edit import (
    CannotSave,
    Changed,
    NoSuchPlace,
    NotEditable,
    Refused,
    edit,
    remove,
    save,
)
from plexus_proxy.config.initial import write_initial
from plexus_proxy.config.load import load
from plexus_proxy.config.problems import Problems
from plexus_proxy.config.tree import read_tree
from plexus_proxy.settings import Settings, read_settings

SAMPLE = (Path(__file__).parent.parent.parent / "config" / "plexus.example.yaml").read_text()
TEXT = """\
# Ours. Ask Kim before you edit.
adminKey: an-admin-key # rotated in May

# Who answers.
providers:
  openai: # the good one
    api_base_url: https://api.openai.com/v1
    api_key: ${OPENAI_API_KEY:-none}
    models: [gpt]

  # anthropic:
  #   models: []

# The names.
models:
  smart:
    targets:
      - {provider: openai, model: gpt} # first
      # then
      - {provider: openai, model: gpt, enabled: off-not}
  # after smart
  fast: {targets: []}

# Who may ask.
keys:
  me: {secret: 'a-client-secret', comment: 007}
"""


def tree(text: str) -> Any:
    problems = Problems()
    found = read_tree(text, problems)
    assert found is not None, problems.found
    return found


def asides(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.lstrip().startswith("#")]


@pytest.fixture(params=[False, True], ids=["whole", "nearby"], autouse=True)
def _nearby(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything holds for the way that large files are edited, too."""
    if request.param:
        monkeypatch.setattr(editing, "_LARGE_CHARS", 0)


def unaligned(text: str) -> str:
    """A comment behind a value stays in its column, if there is room for the new value."""
    return re.sub(r" +#", " #", text)


# --- text to text ---


@pytest.mark.parametrize(
    ("place", "value", "old", "new"),
    [
        (("adminKey",), "other", "an-admin-key #", "other #"),
        (("adminKey",), "${ADMIN}", "an-admin-key #", "${ADMIN} #"),
        (("providers", "openai", "models"), ["a", "b"], "models: [gpt]", "models: [a, b]"),
        (("models", "smart", "targets", 1, "model"), "x", "gpt, enabled", "x, enabled"),
        (("keys", "me", "secret"), "fresh", "'a-client-secret'", "'fresh'"),
        (("keys", "me", "comment"), "007", "007", '"007"'),
        (
            ("providers", "openai", "enabled"),
            False,
            "    models: [gpt]\n",
            "    models: [gpt]\n    enabled: false\n",
        ),
        (
            ("providers", "openai", "timeouts", "idle_s"),
            2.5,
            "    models: [gpt]\n",
            "    models: [gpt]\n    timeouts:\n      idle_s: 2.5\n",
        ),
        (
            ("providers", "local"),
            {"api_base_url": "http://localhost:1", "enabled": True, "display_name": "true"},
            "    models: [gpt]\n",
            "    models: [gpt]\n  local:\n    api_base_url: http://localhost:1\n"
            '    enabled: true\n    display_name: "true"\n',
        ),
        (
            ("models", "smart", "targets", 2),
            {"provider": "openai", "model": "mini"},
            "off-not}\n",
            "off-not}\n      - provider: openai\n        model: mini\n",
        ),
    ],
)
def test_an_edit_changes_the_lines_it_must(place: Any, value: Any, old: str, new: str) -> None:
    assert TEXT.count(old) == 1
    assert unaligned(edit(TEXT, place, value)) == unaligned(TEXT.replace(old, new))


@pytest.mark.parametrize(
    ("place", "old", "new"),
    [
        (("models", "fast"), "  fast: {targets: []}\n", ""),
        (
            ("models", "smart", "targets", 0),
            "      - {provider: openai, model: gpt} # first\n",
            "",
        ),
        (("keys", "me", "comment"), ", comment: 007", ""),
        (("keys", "me"), "keys:\n  me: {secret: 'a-client-secret', comment: 007}", "keys: {}"),
        (("providers", "openai", "models"), "    models: [gpt]\n", ""),
    ],
)
def test_a_removal_takes_its_own_lines_and_leaves_every_comment(
    place: Any, old: str, new: str
) -> None:
    assert TEXT.count(old) == 1
    assert remove(TEXT, place) == TEXT.replace(old, new)


def test_a_new_value_keeps_what_the_old_one_has_in_common_with_it() -> None:
    value = {
        "targets": [
            {"provider": "openai", "model": "gpt"},
            {"provider": "openai", "model": "mini", "enabled": "off-not"},
        ]
    }
    assert edit(TEXT, ("models", "smart"), value) == TEXT.replace(
        "model: gpt, enabled", "model: mini, enabled"
    )


def test_the_same_value_changes_nothing() -> None:
    for key, value in tree(SAMPLE).items():
        assert edit(SAMPLE, (key,), value) == SAMPLE


def test_numbers_and_quotes_stay_as_they_were_written() -> None:
    text = "a: 1e3\nb: .5\nc: 0x1F\nd: '5'\ne: \"x\"\nf:\ng: ~\nh: 1_000\ni: >-\n  two\n  words\n"
    assert edit(text, ("z",), 1) == text + "z: 1\n"


@pytest.mark.parametrize("indent", ["  - ", "- ", "    -   "])
def test_lists_are_indented_as_in_the_rest_of_the_file(indent: str) -> None:
    text = f"a:\n{indent}1\n{indent}2\nb:\n{indent}3\n"
    assert edit(text, ("a", 2), 9) == f"a:\n{indent}1\n{indent}2\n{indent}9\nb:\n{indent}3\n"


def test_line_ends_of_windows_stay() -> None:
    text = TEXT.replace("\n", "\r\n")
    assert edit(text, ("adminKey",), "an-admin-kez") == text.replace("an-admin-key", "an-admin-kez")


SHARED = """\
base: &base
  enabled: true
  limits: {a: 1}
one:
  <<: *base
  name: one
two: *base
"""


def test_anchors_and_merges_stay_and_can_be_overridden() -> None:
    assert edit(SHARED, ("one", "enabled"), False) == SHARED.replace(
        "  name: one\n", "  name: one\n  enabled: false\n"
    )
    assert edit(SHARED, ("two",), {"x": 1}) == SHARED.replace("two: *base", "two:\n  x: 1")


@pytest.mark.parametrize("place", [("base", "enabled"), ("two", "enabled"), ("one", "limits", "a")])
def test_what_is_shared_is_not_changed_in_passing(place: Any) -> None:
    with pytest.raises(NotEditable, match="anchor"):
        edit(SHARED, place, 5)


@pytest.mark.parametrize(
    "place",
    [(), ("nowhere", 0), ("adminKey", "x"), ("models", 0), ("models", "smart", "targets", 5)],
)
def test_a_place_that_cannot_be_is_refused(place: Any) -> None:
    with pytest.raises(NoSuchPlace):
        edit(TEXT, place, 1)


@pytest.mark.parametrize("place", [("nowhere",), ("keys", "x"), ("models", "smart", "targets", 2)])
def test_what_is_not_there_cannot_be_removed(place: Any) -> None:
    with pytest.raises(NoSuchPlace):
        remove(TEXT, place)


@pytest.mark.parametrize("text", ["", "a: [", "- 1", "a: *b"])
def test_what_is_no_config_cannot_be_edited(text: str) -> None:
    with pytest.raises(NotEditable):
        edit(text, ("a",), 1)


def places(node: Any, above: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    for key, value in node.items() if isinstance(node, dict) else enumerate(node):
        yield (*above, key)
        if isinstance(value, dict | list):
            yield from places(value, (*above, key))


BOTH = [
    pytest.param(TEXT, 1, id="ours"),
    pytest.param(SAMPLE, 5, id="sample"),
    pytest.param(SAMPLE, 1, id="all-of-sample", marks=pytest.mark.long),
]
"""Texts, and which share of their places is tried."""


@pytest.mark.parametrize(("text", "step"), BOTH)
def test_no_comment_is_lost_whatever_is_removed(text: str, step: int) -> None:
    """Comments inside of what is removed go with it; the tree is compared by `remove` itself."""
    for place in list(places(tree(text)))[::step]:
        now = remove(text, place)
        gone = set(text.splitlines()) - set(now.splitlines())
        within = _lines_within(text, place)
        lost = [line for line in asides(text) if line in gone]
        assert all(line in within for line in lost), (place, lost)


def _lines_within(text: str, place: tuple[str | int, ...]) -> list[str]:
    """The lines from where a node begins to the last one it says something on."""
    node, parent = tree(text), None
    for key in place:
        parent, node = node, node[key]
    assert parent is not None
    first = parent.lines[place[-1]]
    return text.splitlines()[first - 1 : _last_line(node, first)]


def _last_line(node: Any, line: int) -> int:
    if not isinstance(node, dict | list):
        return line
    items = node.items() if isinstance(node, dict) else enumerate(node)
    return max([line, *(_last_line(value, node.lines[key]) for key, value in items)])


@pytest.mark.parametrize(("text", "step"), BOTH)
def test_no_comment_is_lost_whatever_is_added(text: str, step: int) -> None:
    for place in list(places(tree(text)))[::step]:
        node = tree(text)
        for key in place:
            node = node[key]
        if isinstance(node, dict | list):
            fresh = (*place, "new" if isinstance(node, dict) else len(node))
            assert asides(edit(text, fresh, "text")) == asides(text), place


SCALARS = st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats() | st.text()
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(VALUES, st.sampled_from([("adminKey",), ("keys", "me"), ("models", "smart", "targets", 0)]))
def test_whatever_value_reads_back_or_is_refused(value: Any, place: Any) -> None:
    try:
        now = edit(TEXT, place, value)
    except NotEditable:
        assert _unwritable(value)
        return
    assert asides(now) == asides(TEXT)


def _unwritable(value: Any) -> bool:
    """NaN is equal to nothing; a null key of nothing, control characters and such have no YAML."""
    text = repr(value)
    return "nan" in text or "\\" in text or not text.isascii() or "''" in text or "<<" in text


_MIDDLE = f"  client-4000:\n    secret: s-{4000:030} # of 4000\n"
_END = "\n# The end.\nquotas: []\n"


@pytest.mark.parametrize(
    ("change", "old", "new"),
    [
        (
            lambda text: edit(text, ("keys", "client-4000", "secret"), f"t-{4000:030}"),
            f"s-{4000:030}",
            f"t-{4000:030}",
        ),
        (
            lambda text: edit(text, ("keys", "fresh"), {"secret": "new"}),
            _END,
            f"  fresh:\n    secret: new\n{_END}",
        ),
        (lambda text: remove(text, ("keys", "client-4000")), _MIDDLE, ""),
    ],
    ids=["change", "add", "remove"],
)
def test_among_thousands_of_keys_an_edit_takes_little_longer_than_reading(
    change: Callable[[str], str], old: str, new: str
) -> None:
    """ruamel alone takes forty times as long as our reader."""
    keys = "".join(f"  client-{n}:\n    secret: s-{n:030} # of {n}\n" for n in range(8000))
    text = f"{TEXT.partition('keys:')[0]}keys:\n{keys}{_END}"
    began = time.thread_time()
    tree(text)
    read_s = time.thread_time() - began
    began = time.thread_time()
    now = change(text)
    assert time.thread_time() - began < read_s * 12
    assert text.count(old) == 1
    assert now == text.replace(old, new)


# --- text to file ---

GOOD = TEXT.replace(", enabled: off-not", "").replace("007", "'me'")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "plexus.yaml").write_text(GOOD)
    return read_settings(
        {"CONFIG_FILE": str(tmp_path / "plexus.yaml"), "DATA_DIR": str(tmp_path / "data")}
    )


def file_of(settings: Settings) -> Path:
    assert settings.config_file is not None
    return settings.config_file


def test_a_saved_edit_is_in_the_file_with_its_mode(settings: Settings) -> None:
    path = file_of(settings)
    path.chmod(0o640)
    before = path.stat().st_ino
    now = edit(GOOD, ("keys", "you"), {"secret": "another-secret"})
    save(settings, now, GOOD)
    assert path.read_text() == now
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert path.stat().st_ino != before, "replaced, not overwritten: readers see no half a file"
    assert [each.name for each in path.parent.iterdir() if each.name.startswith(".")] == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_the_owner_stays(settings: Settings) -> None:
    os.chown(file_of(settings), 1234, 2345)
    save(settings, edit(GOOD, ("adminKey",), "other-key"), GOOD)
    found = file_of(settings).stat()
    assert (found.st_uid, found.st_gid) == (1234, 2345)


@pytest.mark.parametrize(
    ("place", "value", "says"),
    [
        (("providers", "openai", "enabled"), "maybe", "providers.openai.enabled"),
        (("models", "fast", "targets", 0), {"provider": "nobody", "model": "x"}, "nobody"),
        (("modles",), {}, "models"),
        (("keys", "you"), {"secret": "a-client-secret"}, "same secret"),
    ],
)
def test_errors_and_new_warnings_are_refused(
    settings: Settings, place: Any, value: Any, says: str
) -> None:
    with pytest.raises(Refused, match=says) as refusal:
        save(settings, edit(GOOD, place, value), GOOD)
    assert refusal.value.problems
    assert file_of(settings).read_text() == GOOD


def test_what_is_odd_already_does_not_hinder_other_edits(settings: Settings) -> None:
    odd = GOOD.replace(
        "targets: []", "targets: [{provider: x, model: y}, {provider: gone, model: y}]"
    )
    file_of(settings).write_text(odd)
    now = edit(edit(odd, ("timeouts",), {"idle_s": 9}), ("adminKey",), "other-key")
    save(settings, now, odd)
    fewer = remove(now, ("models", "fast", "targets", 0))
    save(settings, fewer, now)
    assert file_of(settings).read_text() == fewer


def test_a_refusal_tells_no_secret(settings: Settings) -> None:
    secret = canary("provider")
    now = edit(GOOD, ("providers", "openai", "api_key"), {"deep": secret})
    with pytest.raises(Refused) as refusal:
        save(settings, now, GOOD)
    assert leaks_in(f"{refusal.value!s} {refusal.value!r}") == []


def test_a_file_changed_by_others_is_not_overwritten(settings: Settings) -> None:
    theirs = GOOD.replace("an-admin-key", "their-admin-key")
    now = edit(GOOD, ("keys", "you"), {"secret": "another-secret"})
    file_of(settings).write_text(theirs)
    with pytest.raises(Changed):
        save(settings, now, GOOD)
    assert file_of(settings).read_text() == theirs


def test_writers_at_once_lose_no_edit(settings: Settings) -> None:
    """Each holds the lock file by a descriptor of its own, just as processes do."""
    names = [f"client{number}" for number in range(8)]
    gate = threading.Barrier(len(names))

    def add_key(name: str) -> None:
        gate.wait(30)
        while True:
            was = file_of(settings).read_text()
            try:
                save(settings, edit(was, ("keys", name), {"secret": f"secret-of-{name}"}), was)
            except Changed:
                continue
            return

    with ThreadPoolExecutor(len(names)) as writers:
        list(writers.map(add_key, names))
    assert set(tree(file_of(settings).read_text())["keys"]) == {"me", *names}


def test_a_symlink_stays_and_its_far_end_is_written(settings: Settings, tmp_path: Path) -> None:
    path, real = file_of(settings), tmp_path / "elsewhere" / "real.yaml"
    real.parent.mkdir()
    path.rename(real)
    path.symlink_to(Path("elsewhere") / "real.yaml")
    now = edit(GOOD, ("adminKey",), "other-key")
    save(settings, now, GOOD)
    assert path.is_symlink()
    assert real.read_text() == now


@pytest.fixture
def mounted(settings: Settings, tmp_path: Path) -> Iterator[Settings]:
    """The file is a mount point, as with `docker run -v …/plexus.yaml:/app/config/plexus.yaml`."""
    path, outside = file_of(settings), tmp_path / "outside.yaml"
    outside.write_text(GOOD)
    mount = ["mount", "--bind", str(outside), str(path)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("this user may not mount")
    try:
        yield settings
    finally:
        subprocess.run(["umount", str(path)], check=True)


def test_a_file_that_is_a_mount_point_is_written_in_place(
    mounted: Settings, tmp_path: Path
) -> None:
    now = edit(GOOD, ("providers", "openai", "display_name"), "Open")
    save(mounted, now, GOOD)
    shorter = remove(now, ("providers", "openai", "display_name"))
    save(mounted, shorter, now)
    assert (tmp_path / "outside.yaml").read_text() == shorter
    backup = mounted.data_dir / editing.BACKUP
    assert backup.read_text() == now
    assert stat.S_IMODE(backup.stat().st_mode) == 0o600
    assert [each.name for each in tmp_path.iterdir() if each.name.startswith(".")] == []


@pytest.mark.parametrize("number", [errno.EBUSY, errno.EXDEV, errno.EACCES, errno.EROFS])
def test_where_no_rename_is_possible_the_file_is_written_in_place(
    settings: Settings, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, plain = file_of(settings), os.rename
    inode = path.stat().st_ino

    def rename(source: Any, target: Any) -> None:
        if Path(target) == path:
            raise OSError(number, os.strerror(number))
        plain(source, target)

    monkeypatch.setattr(os, "replace", rename)
    now = edit(GOOD, ("adminKey",), "k")
    save(settings, now, GOOD)
    assert path.read_text() == now
    assert path.stat().st_ino == inode
    assert (settings.data_dir / editing.BACKUP).read_text() == GOOD


def test_a_file_that_is_gone_is_not_made_anew(settings: Settings) -> None:
    file_of(settings).unlink()
    with pytest.raises(CannotSave):
        save(settings, edit(GOOD, ("adminKey",), "other-key"), GOOD)
    assert not file_of(settings).exists()


def test_the_first_config_can_be_edited(tmp_path: Path) -> None:
    settings = read_settings(
        {"CONFIG_FILE": str(tmp_path / "first.yaml"), "DATA_DIR": str(tmp_path / "data")}
    )
    made = write_initial(settings)
    was = made.path.read_text()
    provider = {
        "api_base_url": "https://api.openai.com/v1",
        "api_key": "${OPENAI_API_KEY:-x}",
        "models": ["gpt"],
    }
    now = edit(was, ("providers", "openai"), provider)
    now = edit(now, ("models", "demo", "targets", 1), {"provider": "openai", "model": "gpt"})
    save(settings, now, was)
    assert asides(made.path.read_text()) == asides(was)
    loaded, problems = load(made.path.read_text())
    assert problems == []
    assert loaded is not None
    assert list(loaded.config.providers) == ["demo", "openai"]
