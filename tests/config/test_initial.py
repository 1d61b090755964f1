"""The first config: where it goes, who can read it, that it works, and that nothing is lost."""

import errno
import os
import re
import stat
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from support.canary import leaks_in
from support.program import finished

from plexus_proxy.config.initial import AlreadyThere, CannotWrite, Initial, write_initial
from plexus_proxy.config.load import load, locate
from plexus_proxy.settings import Settings, read_settings

USUAL = Path("config") / "plexus.yaml"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every test starts in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def settings(here: Path) -> Settings:
    (here / "data").mkdir()
    return read_settings({"DATA_DIR": str(here / "data")})


def test_it_works_as_written_without_a_word(settings: Settings) -> None:
    made = write_initial(settings)
    assert made.path == USUAL
    loaded, problems = load(USUAL.read_text(), {}, loopback=False)
    assert problems == [], "not even a warning: check --strict passes, also for a public server"
    assert loaded is not None
    config = loaded.config
    assert config.admin_key == made.admin_key
    assert [key.secret for key in config.keys.values()] == [made.key]
    [target] = config.models[made.model].targets
    provider = config.providers[target.provider]
    assert provider.api_base_url == "demo://"
    assert provider.models is not None
    assert target.model in provider.models


def test_the_examples_in_its_comments_work_once_uncommented(settings: Settings) -> None:
    write_initial(settings)
    text = re.sub(r"^  # ( *[\w-]+: *|  .*)", r"  \1", USUAL.read_text(), flags=re.MULTILINE)
    loaded, problems = load(text, {"OPENAI_API_KEY": "x", "ANTHROPIC_API_KEY": "y"})
    assert problems == []
    assert loaded is not None
    assert list(loaded.config.providers) == ["demo", "openai", "anthropic"]
    assert len(loaded.config.models) == 2


def test_only_its_owner_can_read_it(settings: Settings) -> None:
    before = os.umask(0)
    try:
        made = write_initial(settings)
    finally:
        os.umask(before)
    assert stat.S_IMODE(made.path.stat().st_mode) == 0o600
    assert os.listdir(made.path.parent) == ["plexus.yaml"]


def test_every_config_has_secrets_of_its_own(settings: Settings, here: Path) -> None:
    one = write_initial(settings)
    text = one.path.read_text()
    one.path.unlink()
    two = write_initial(settings)
    found = {each.reveal() for made in (one, two) for each in (made.admin_key, made.key)}
    assert len(found) == 4
    assert all(len(each) >= 32 for each in found)
    assert len(re.findall(r"sk-[A-Za-z0-9_-]{16,}", text)) == 2
    assert leaks_in(repr(one)) == []


def test_config_file_wins(here: Path) -> None:
    path = here / "deep" / "er" / "mine.yaml"
    settings = read_settings({"CONFIG_FILE": str(path), "DATA_DIR": str(here / "data")})
    assert write_initial(settings).path == path
    assert path.exists()
    assert not USUAL.exists()


def test_config_file_has_no_second_place(settings: Settings, here: Path) -> None:
    (here / "file").touch()
    wanted = here / "file" / "plexus.yaml"
    settings = read_settings({"CONFIG_FILE": str(wanted), "DATA_DIR": str(here / "data")})
    with pytest.raises(CannotWrite, match=re.escape(str(wanted))):
        write_initial(settings)
    assert os.listdir(here / "data") == []


@pytest.fixture
def read_only(here: Path) -> Iterator[Path]:
    """A ./config nobody can write to, as in an image with a read-only root."""
    folder = here / "config"
    folder.mkdir()
    if os.geteuid() != 0:
        folder.chmod(0o555)
        yield folder
        folder.chmod(0o755)
        return
    mount = ["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("root may write anywhere, and may not mount here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_config_folder_that_cannot_be_written_leads_to_the_data_dir(
    settings: Settings, read_only: Path
) -> None:
    made = write_initial(settings)
    assert made.path == settings.data_dir / "plexus.yaml"
    assert locate(settings) == made.path
    assert stat.S_IMODE(made.path.stat().st_mode) == 0o600
    assert os.listdir(read_only) == []


def test_a_file_in_the_place_of_the_folder_leads_to_the_data_dir(
    settings: Settings, here: Path
) -> None:
    (here / "config").touch()
    assert write_initial(settings).path == settings.data_dir / "plexus.yaml"


def test_where_nothing_can_be_written_every_place_is_named(here: Path) -> None:
    (here / "config").touch()
    (here / "data").touch()
    with pytest.raises(CannotWrite) as failure:
        write_initial(read_settings({"DATA_DIR": str(here / "data")}))
    assert str(USUAL) in str(failure.value)
    assert str(here / "data" / "plexus.yaml") in str(failure.value)


@pytest.mark.parametrize("place", [USUAL, Path("data") / "plexus.yaml"])
def test_what_is_there_is_never_overwritten_nor_put_in_the_shade(
    settings: Settings, place: Path
) -> None:
    place.parent.mkdir(exist_ok=True)
    place.write_text("adminKey: mine\n")
    with pytest.raises(AlreadyThere, match=r"plexus\.yaml"):
        write_initial(settings)
    assert place.read_text() == "adminKey: mine\n"
    assert sorted(Path.cwd().rglob("*.yaml")) == [Path.cwd() / place]


@pytest.mark.parametrize("links", [True, False])
def test_of_starts_at_once_one_writes_the_config(
    settings: Settings, links: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not links:
        _without_hard_links(monkeypatch)
    gate = threading.Barrier(8)

    def start(_: int) -> str | None:
        gate.wait(30)
        try:
            return write_initial(settings).key.reveal()
        except AlreadyThere:
            return None

    with ThreadPoolExecutor(8) as starts:
        found = list(starts.map(start, range(8)))
    [key] = [each for each in found if each is not None]
    assert f"secret: {key}\n" in USUAL.read_text()
    assert os.listdir("config") == ["plexus.yaml"]


def test_of_processes_that_start_at_once_one_writes_the_config(here: Path) -> None:
    with ThreadPoolExecutor(4) as starts:
        done = list(starts.map(lambda _: finished(here, "init"), range(4)))
    assert sorted(code for code, _ in done) == [0, 1, 1, 1]
    assert not any("Traceback" in output for _, output in done)
    assert load(USUAL.read_text())[1] == []


def test_a_file_system_without_hard_links_will_do(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    _without_hard_links(monkeypatch)
    made: Initial = write_initial(settings)
    assert load(made.path.read_text())[1] == []
    assert stat.S_IMODE(made.path.stat().st_mode) == 0o600


def _without_hard_links(monkeypatch: pytest.MonkeyPatch) -> None:
    def link(*_: Any, **__: Any) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", link)
