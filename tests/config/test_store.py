"""The config in force follows the file, and a bad edit never takes anything down."""

import asyncio
import gc
import logging
import os
import stat
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest
from support.canary import canary, leaks_in
from support.program import running
from support.waiting import until

from plexus_proxy.config import store
from plexus_proxy.config.apart import Unavailable, load_apart
from plexus_proxy.config.load import load
from plexus_proxy.config.snapshot import Snapshot
from plexus_proxy.config.store import LAST_GOOD, ConfigStore, UnusableConfig, usable_snapshot
from plexus_proxy.settings import Settings, read_settings

WITHIN_S = 1.0
SLACK_S = 3.0
"""For a busy machine; what is promised is WITHIN_S."""

FILES = Path(__file__).parent
SAMPLE = (FILES.parent.parent / "config" / "plexus.example.yaml").read_text()


def text_of(*names: str, head: str = "") -> str:
    """A config with these keys."""
    keys = "".join(f"  {name}: {{secret: secret-of-{name}}}\n" for name in names)
    return f"{head}adminKey: an-admin-key\nproviders: {{}}\nmodels: {{}}\nkeys:\n{keys}"


FIRST = text_of("first")
BAD = text_of("bad").replace("providers: {}", "providers: 5")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "plexus.yaml").write_text(FIRST)
    return settings_in(tmp_path)


def settings_in(folder: Path, **more: str) -> Settings:
    return read_settings(
        {
            "CONFIG_FILE": str(folder / "etc" / "plexus.yaml"),
            "DATA_DIR": str(folder / "data"),
            "HOST": "127.0.0.1",
            **more,
        }
    )


def file_of(settings: Settings) -> Path:
    assert settings.config_file is not None
    return settings.config_file


@asynccontextmanager
async def followed(settings: Settings) -> AsyncIterator[ConfigStore]:
    found = ConfigStore(settings)
    await found.start()
    async with found.following():
        await asyncio.sleep(0.1)  # the watch is there
        yield found


def keys_of(found: ConfigStore) -> list[str]:
    return list(found.current.config.keys)


async def comes_to(found: ConfigStore, *names: str) -> None:
    await until(lambda: keys_of(found) == [*names], WITHIN_S + SLACK_S)


# --- ways to change a file ---


def in_place(path: Path, text: str) -> None:
    path.write_text(text)


def by_rename(path: Path, text: str) -> None:
    fresh = path.with_name("fresh~")
    fresh.write_text(text)
    fresh.replace(path)


def by_removal(path: Path, text: str) -> None:
    path.unlink()
    time.sleep(0.02)
    path.write_text(text)


def with_old_times(path: Path, text: str) -> None:
    """As `rsync --times --inplace` or a restored backup do: same size, same time stamp."""
    before = path.stat()
    assert len(text) == before.st_size
    path.write_text(text)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize("change", [in_place, by_rename, by_removal, with_old_times])
async def test_an_edit_is_picked_up(
    settings: Settings, change: Callable[[Path, str], None]
) -> None:
    async with followed(settings) as found:
        for name in ("other", "third"):
            change(file_of(settings), text_of(name))
            await comes_to(found, name)
            assert found.status().state == "ok"


@pytest.mark.parametrize("change", [in_place, by_rename, by_removal, with_old_times])
async def test_an_edit_is_picked_up_where_nothing_can_be_watched(
    settings: Settings, change: Callable[[Path, str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def awatch(*_: Any, **__: Any) -> Any:
        raise OSError("inotify watch limit reached")

    monkeypatch.setattr(store, "awatch", awatch)
    async with followed(settings) as found:
        change(file_of(settings), text_of("other"))
        await comes_to(found, "other")


async def test_an_edit_is_picked_up_at_once_where_watching_works(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "_POLL_S", 3600.0)
    async with followed(settings) as found:
        for name in ("other", "third"):
            by_rename(file_of(settings), text_of(name))
            await comes_to(found, name)


@pytest.mark.parametrize("by", ["watching", "looking"])
async def test_the_swap_of_a_config_map_is_picked_up(
    tmp_path: Path, by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the kubelet does it: plexus.yaml → ..data/plexus.yaml, ..data → a folder that changes."""
    if by == "watching":
        monkeypatch.setattr(store, "_POLL_S", 3600.0)
    else:
        monkeypatch.setattr(store, "_CONFIG_MAP_LINK", "another name")
    settings = settings_in(tmp_path)
    folder = file_of(settings).parent

    def fill(name: str, text: str) -> None:
        (folder / name).mkdir(parents=True)
        (folder / name / "plexus.yaml").write_text(text)
        (folder / "..data_tmp").symlink_to(name)
        (folder / "..data_tmp").replace(folder / "..data")

    fill("..2026_01", FIRST)
    file_of(settings).symlink_to("..data/plexus.yaml")
    async with followed(settings) as found:
        assert keys_of(found) == ["first"]
        fill("..2026_02", text_of("other"))
        await comes_to(found, "other")


async def test_the_far_end_of_a_symlink_is_followed(settings: Settings, tmp_path: Path) -> None:
    real = tmp_path / "real.yaml"
    file_of(settings).rename(real)
    file_of(settings).symlink_to(real)
    async with followed(settings) as found:
        by_rename(real, text_of("other"))
        await comes_to(found, "other")


@pytest.fixture
def mounted(settings: Settings, tmp_path: Path) -> Iterator[Settings]:
    """The file is a mount point, as with `docker run -v …/plexus.yaml:/app/config/plexus.yaml`."""
    outside = tmp_path / "outside.yaml"
    outside.write_text(FIRST)
    mount = ["mount", "--bind", str(outside), str(file_of(settings))]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("this user may not mount")
    try:
        yield settings
    finally:
        subprocess.run(["umount", str(file_of(settings))], check=True)


async def test_a_mounted_file_is_followed_when_its_host_edits_it(
    mounted: Settings, tmp_path: Path
) -> None:
    async with followed(mounted) as found:
        (tmp_path / "outside.yaml").write_text(text_of("other"))
        await comes_to(found, "other")


async def test_a_file_that_is_only_touched_is_not_read_again(settings: Settings) -> None:
    async with followed(settings) as found:
        before = found.current
        for _ in range(3):
            file_of(settings).touch()
            by_rename(file_of(settings), FIRST)
            await found.refresh()
        assert found.current is before


async def test_a_file_still_being_written_is_not_judged(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    text = text_of("other")
    async with followed(settings) as found:
        with file_of(settings).open("w") as file:
            for start in range(0, len(text), 20):
                file.write(text[start : start + 20])
                file.flush()
                await asyncio.sleep(0.01)
        await comes_to(found, "other")
    assert "is not used" not in caplog.text


async def test_one_snapshot_stays_whole_while_the_next_takes_over(settings: Settings) -> None:
    async with followed(settings) as found:
        mine = found.current
        in_place(file_of(settings), text_of("other"))
        await comes_to(found, "other")
        assert list(mine.config.keys) == ["first"]
        assert list(mine.key_names.values()) == ["first"]


# --- bad edits ---


@pytest.mark.parametrize("bad", [BAD, "", "{", "keys: [", "\0", None])
async def test_a_bad_edit_changes_nothing_and_is_told(
    settings: Settings, bad: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    async with followed(settings) as found:
        if bad is None:
            file_of(settings).unlink()
        else:
            in_place(file_of(settings), bad)
        await until(lambda: found.status().state == "invalid", WITHIN_S + SLACK_S)
        assert keys_of(found) == ["first"]
        assert found.status().problems
        assert all(each in caplog.text for each in found.status().problems)
        in_place(file_of(settings), FIRST)
        await until(lambda: found.status().state == "ok", WITHIN_S + SLACK_S)
        assert found.status().problems == ()


async def test_a_bad_edit_is_told_once(
    settings: Settings, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "_POLL_S", 0.01)
    async with followed(settings) as found:
        in_place(file_of(settings), BAD)
        await until(lambda: found.status().state == "invalid", WITHIN_S + SLACK_S)
        await asyncio.sleep(0.3)
    assert caplog.text.count("is not used") == 1


async def test_what_is_told_names_places_and_holds_no_secret(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    admin, key = canary("admin"), canary("key")
    bad = text_of("first", head=f"limits: {{body_bytes: {key}}}\nnonsense: {admin}\n")
    bad = bad.replace("an-admin-key", f"[{admin}]").replace("secret-of-first", f"{{{key}: 1}}")
    async with followed(settings) as found:
        in_place(file_of(settings), bad)
        await until(lambda: found.status().state == "invalid", WITHIN_S + SLACK_S)
        told = msgspec.json.encode(found.status()).decode() + caplog.text
    assert "limits.body_bytes (line 1)" in told
    assert "keys.first.secret (line 7)" in told
    assert leaks_in(told) == []


async def test_warnings_are_told_and_the_config_is_used(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    async with followed(settings) as found:
        in_place(file_of(settings), text_of("other", head="provider: {}\n"))
        await comes_to(found, "other")
        status = found.status()
    assert status.state == "ok"
    assert "unknown key" in status.problems[0]
    assert status.problems[0] in caplog.text


# --- the last good config ---


async def test_the_last_good_config_is_kept_for_its_owner_only(settings: Settings) -> None:
    kept = settings.data_dir / LAST_GOOD
    async with followed(settings) as found:
        assert kept.read_text() == FIRST
        assert stat.S_IMODE(kept.stat().st_mode) == 0o600
        in_place(file_of(settings), text_of("other"))
        await comes_to(found, "other")
        await until(lambda: kept.read_text() == text_of("other"))
        in_place(file_of(settings), BAD)
        await until(lambda: found.status().state == "invalid", WITHIN_S + SLACK_S)
        assert kept.read_text() == text_of("other")


@pytest.mark.parametrize("bad", [BAD, None])
async def test_a_start_during_a_bad_edit_runs_on_the_last_good_config(
    settings: Settings, bad: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    async with followed(settings):
        pass
    if bad is None:
        file_of(settings).unlink()
    else:
        in_place(file_of(settings), bad)
    assert list(usable_snapshot(settings).config.keys) == ["first"]
    async with followed(settings) as found:
        assert keys_of(found) == ["first"]
        assert found.status().state == "last_good"
        assert found.status().problems
        assert [each.levelno for each in caplog.records if "LAST GOOD" in each.message] == [
            logging.ERROR
        ]
        in_place(file_of(settings), FIRST)
        await until(lambda: found.status().state == "ok", WITHIN_S + SLACK_S)


async def test_a_start_without_a_last_good_config_fails_with_every_problem(
    settings: Settings,
) -> None:
    bad = BAD.replace("models: {}", "models: 7").replace("adminKey", "adminKeys")
    in_place(file_of(settings), bad)
    with pytest.raises(UnusableConfig) as failure:
        await ConfigStore(settings).start()
    words = str(failure.value)
    assert str(file_of(settings)) in words
    assert all(each in words for each in ("adminKey (line", "providers (line", "models ("))
    assert not (settings.data_dir / LAST_GOOD).exists()


@pytest.mark.parametrize("kept", [b"", b"providers: 5", b"\xff\xfe"])
async def test_a_last_good_config_that_is_not_good_is_no_way_out(
    settings: Settings, kept: bytes
) -> None:
    in_place(file_of(settings), BAD)
    settings.data_dir.mkdir()
    (settings.data_dir / LAST_GOOD).write_bytes(kept)
    with pytest.raises(UnusableConfig, match="providers"):
        await ConfigStore(settings).start()


async def test_a_data_dir_that_cannot_be_written_costs_only_the_copy(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    settings.data_dir.write_text("not a folder")
    async with followed(settings) as found:
        in_place(file_of(settings), text_of("other"))
        await comes_to(found, "other")
    assert "could not be kept" in caplog.text


async def test_workers_that_share_a_data_dir_leave_whole_copies(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "_POLL_S", 0.01)
    monkeypatch.setattr(store, "_SETTLE_S", 0.001)
    kept = settings.data_dir / LAST_GOOD
    seen: set[str] = set()
    async with (
        followed(settings) as one,
        followed(settings) as two,
        followed(settings) as three,
    ):
        for number in range(40):
            by_rename(file_of(settings), text_of(f"key{number}", "more"))
            for _ in range(5):
                seen.add(kept.read_text())
                await asyncio.sleep(0.002)
        for each in (one, two, three):
            await comes_to(each, "key39", "more")
        await until(lambda: kept.read_text() == text_of("key39", "more"))
    assert len(seen) > 3
    assert all(load(text)[0] is not None for text in seen)
    # a copy may still be on its way to the disk; what it was written as does not stay behind
    await until(lambda: [each.name for each in settings.data_dir.iterdir()] == [LAST_GOOD])


# --- large files ---

MANY = 20_000


def large(tag: str, count: int = MANY) -> str:
    keys = (
        f"  client-{n}:\n    secret: sk-{tag}-{n:030}\n    comment: team\n" for n in range(count)
    )
    return f"adminKey: a-{tag}-key\nproviders: {{}}\nmodels: {{}}\nkeys:\n{''.join(keys)}"


class Turns:
    """The longest time that the loop's thread computed without looking at what else there is; in
    CPU time, which a busy machine cannot falsify."""

    longest_s = 0.0

    async def count(self) -> None:
        last = time.thread_time()
        while True:
            await asyncio.sleep(0.001)
            now = time.thread_time()
            self.longest_s = max(self.longest_s, now - last)
            last = now


@contextmanager
def other_heap_aside() -> Iterator[None]:
    """What the test suite has piled up is no part of what a collection costs a server."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


async def test_twenty_thousand_keys_are_reloaded_beside_the_requests(settings: Settings) -> None:
    began = time.thread_time()
    loaded, _ = load(large("one"))
    read_s = time.thread_time() - began
    assert loaded is not None
    del loaded
    in_place(file_of(settings), large("one"))
    async with followed(settings) as found:
        with other_heap_aside():
            turns = Turns()
            counting = asyncio.ensure_future(turns.count())
            before, used_s = found.current, time.process_time()
            by_rename(file_of(settings), large("two"))
            await until(lambda: found.current is not before, 30)
            await until(lambda: (settings.data_dir / LAST_GOOD).read_text() == large("two"), 30)
            counting.cancel()
        used_s = time.process_time() - used_s
    assert len(found.current.key_names) == MANY
    print(f"read {read_s:.3f} s, here {used_s:.3f} s, longest turn {turns.longest_s:.4f} s")  # noqa: T201
    assert turns.longest_s < max(0.02, read_s / 20)
    assert used_s < read_s * 0.8


def timeless(snapshot: Snapshot | None) -> Snapshot | None:
    """Two readings may fall into different seconds."""
    return None if snapshot is None else msgspec.structs.replace(snapshot, made_s=0)


async def test_a_large_file_is_read_as_a_small_one(settings: Settings) -> None:
    bad = large("one").replace("providers: {}", "providers: 5").replace("comment", "coment")
    async with followed(settings) as found:
        in_place(file_of(settings), bad)
        await until(lambda: found.status().state == "invalid", 30)
        assert found.status().problems == tuple(map(str, load(bad)[1]))
        in_place(file_of(settings), large("one"))
        await until(lambda: found.status().state == "ok", 30)
        assert timeless(found.current) == timeless(load(large("one"))[0])


@pytest.mark.parametrize("file", ["sample", "base_release.yaml", "none", "few"])
async def test_another_process_reads_just_what_we_read(file: str) -> None:
    texts = {"sample": SAMPLE, "none": text_of(), "few": text_of("one", "two")}
    text = texts.get(file) or (FILES / file).read_text()
    environment = {"OPENAI_API_KEY": canary("openai"), "ANTHROPIC_API_KEY": canary("anthropic")}
    here, problems = load(text, environment)
    assert here is not None or problems
    apart = await load_apart(text, environment, loopback=True)
    assert (timeless(apart[0]), apart[1]) == (timeless(here), problems)
    found, there = load(text, {}, loopback=False), await load_apart(text, {}, loopback=False)
    assert (timeless(there[0]), there[1]) == (timeless(found[0]), found[1])


async def test_secrets_reach_the_other_process_through_the_pipe_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    started: list[Any] = []
    plain = subprocess.Popen

    def popen(*arguments: Any, **more: Any) -> Any:
        started.append((arguments, more))
        return plain(*arguments, **more)

    monkeypatch.setattr(subprocess, "Popen", popen)
    secret = canary("key")
    found, _ = await load_apart(text_of("one"), {"NAME": secret}, loopback=True)
    assert found is not None
    [(arguments, more)] = started
    assert leaks_in(repr(arguments) + repr(more)) == []
    assert "an-admin-key" not in repr(arguments) + repr(more)


async def test_a_reload_that_is_cancelled_leaves_no_process() -> None:
    reading = asyncio.ensure_future(load_apart(large("one"), {}, loopback=True))
    me = psutil.Process()
    await until(lambda: me.children())
    reading.cancel()
    with suppress(asyncio.CancelledError):
        await reading
    await until(lambda: not me.children())


@pytest.mark.parametrize("program", ["/nonexistent/python", "/bin/false", "/bin/true"])
async def test_without_another_process_a_large_file_is_read_all_the_same(
    settings: Settings,
    program: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(sys, "executable", program)
    with pytest.raises(Unavailable):
        await load_apart(large("one", 10), {}, loopback=True)
    async with followed(settings) as found:
        in_place(file_of(settings), large("one", 2000))
        await until(lambda: len(found.current.key_names) == 2000, 30)
    assert "no process of its own" in caplog.text


# --- real workers ---

SERVED = text_of("first", head="shutdown: {drain_s: 0, grace_s: 5}\n")


def _health(url: str) -> tuple[int, dict[str, Any]]:
    """From one worker or the other: each connection may get another one."""
    try:
        with urllib.request.urlopen(f"{url}/health/config", timeout=10) as response:
            return response.status, msgspec.json.decode(response.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, msgspec.json.decode(error.read())


def _eventually(condition: Callable[[], bool], limit_s: float = 20) -> None:
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_every_worker_follows_and_a_new_one_starts_during_a_bad_edit(tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    path = tmp_path / "config" / "plexus.yaml"
    path.write_text(SERVED)
    with running(tmp_path, "--workers", "2") as program:
        url = program.url()
        master = psutil.Process(program.process.pid)
        _eventually(lambda: len(master.children()) == 2 and program.output.count("serving on") == 2)
        path.write_text(SERVED.replace("providers: {}", "providers: 5"))
        _eventually(lambda: program.output.count("is not used, it has errors") == 2)
        assert _health(url)[1]["state"] == "invalid"
        victim, survivor = master.children()
        victim.kill()
        _eventually(lambda: "STARTED FROM THE LAST GOOD CONFIG" in program.output)
        _eventually(lambda: survivor in master.children() and len(master.children()) == 2)
        states = {_health(url)[1]["state"] for _ in range(20)}
        assert states <= {"invalid", "last_good"}
        path.write_text(SERVED.replace("first", "second"))
        _eventually(lambda: program.output.count("config reloaded") == 2)
        assert {_health(url)[0] for _ in range(10)} == {200}
        assert "secret-of" not in program.output
