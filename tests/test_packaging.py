"""What is shipped: the wheel's content, the pinned requirements, the container's recipe."""

import os
import re
import shutil
import stat
import subprocess
import sys
import sysconfig
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import urljoin

import pytest
from support.program import Program

ROOT = Path(__file__).parent.parent
VOCABULARY = "plexus_proxy/tokens/o200k_base.tiktoken.xz"


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    [built] = folder.glob("*.whl")
    return built


def _names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if not name.endswith("/")}


def test_the_wheel_contains_all_modules_and_resources(wheel: Path) -> None:
    names = _names(wheel)
    for folder in ("templates", "static", "sql"):
        for path in (ROOT / folder).rglob("*"):
            if path.is_file():
                assert f"plexus_proxy/_resources/{path.relative_to(ROOT).as_posix()}" in names
    for path in (ROOT / "plexus_proxy").rglob("*.py"):
        assert path.relative_to(ROOT).as_posix() in names
    for path in ("config/plexus.example.yaml", "catalogue/models.json"):
        assert f"plexus_proxy/_resources/{path}" in names
    assert "plexus_proxy/_resources/catalogue/LICENSE.genai-prices" in names
    assert VOCABULARY in names


def test_the_wheel_contains_nothing_else(wheel: Path) -> None:
    """In particular no .pth file: it would run at every start of Python."""
    strange = [
        name
        for name in _names(wheel)
        if not re.match(
            r"plexus_proxy/(_resources/(templates|static|sql|config|catalogue)/|.*\.py$)", name
        )
        and name != VOCABULARY
        and not re.match(r"plexus_proxy-[^/]+\.dist-info/", name)
    ]
    assert not strange


def test_the_wheel_names_its_licence_and_command(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        [metadata] = [name for name in archive.namelist() if name.endswith("/METADATA")]
        [scripts] = [name for name in archive.namelist() if name.endswith("/entry_points.txt")]
        assert "License-Expression: MIT" in archive.read(metadata).decode()
        assert "plexus-proxy = plexus_proxy.__main__:main" in archive.read(scripts).decode()


REQUIREMENTS = sorted((ROOT / "requirements").glob("*.txt"))


@pytest.mark.parametrize("path", REQUIREMENTS, ids=lambda path: path.name)
def test_requirements_are_pinned_with_hashes_and_name_no_registry(path: Path) -> None:
    text = path.read_text()
    lines = [line for line in text.splitlines() if line and not line.lstrip().startswith("#")]
    for line in lines:
        assert re.match(r"(    --hash=sha256:[0-9a-f]{64}|[a-z0-9.-]+==[^ ]+)( \\)?$", line), line
    assert not re.search(r"://|--find-links|--(extra-)?index-url|@ file", text)


def _pins(name: str) -> dict[str, str]:
    text = (ROOT / "requirements" / name).read_text()
    return dict(re.findall(r"^([a-z0-9.-]+)==(\S+)", text, re.MULTILINE))


def test_development_uses_the_very_versions_that_are_shipped() -> None:
    development = _pins("dev.txt")
    for name, version in (_pins("runtime.txt") | _pins("build.txt")).items():
        assert development[name] == version


def test_the_container_gets_what_the_wheel_is_made_of() -> None:
    """`.dockerignore` lets nothing in that it does not name."""
    ignored = (ROOT / ".dockerignore").read_text().split()
    assert "*" in ignored
    for needed in ("plexus_proxy", "templates", "static", "sql", "pyproject.toml", "README.md"):
        assert f"!{needed}" in ignored
    assert not {"!tests", "!.git", "!config", "!data"} & set(ignored)


def test_the_container_runs_unprivileged_and_knows_its_health() -> None:
    stages = (ROOT / "Dockerfile").read_text().split("FROM ")
    assert re.search(r"^USER 10001:0$", stages[-1], re.MULTILINE)
    assert "HEALTHCHECK" in stages[-1]


NOBODY = 65534
_NO_PRIVILEGE = (
    # As root: another UID that may read everything (the interpreter can be anywhere) but write
    # only where that UID may.
    "setpriv",
    f"--reuid={NOBODY}",
    "--regid=0",
    "--clear-groups",
    "--inh-caps=-all,+dac_read_search",
    "--ambient-caps=-all,+dac_read_search",
)


@pytest.fixture
def installed(wheel: Path) -> Iterator[tuple[Path, Sequence[str]]]:
    """The wheel in a clean environment, read-only; with the prefix of a command without
    privileges. Its dependencies are those of the tests, so nothing is downloaded."""
    base = Path(tempfile.mkdtemp(prefix="plexus-installed-"))
    base.chmod(0o755)
    try:
        python = base / "venv" / "bin" / "python"
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", base / "venv"], check=True)
        pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
        into = ["--python", python, "install", "--no-index", "--no-deps"]
        subprocess.run([*pip, *into, wheel], check=True, capture_output=True)
        [packages] = (base / "venv" / "lib").glob("python*/site-packages")
        (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
        (base / "data").mkdir()
        for path in [base, *base.rglob("*")]:
            if not path.is_symlink():
                path.chmod(stat.S_IMODE(path.stat().st_mode) & ~0o222)
        (base / "data").chmod(0o755)
        if os.geteuid() == 0:
            os.chown(base / "data", NOBODY, 0)
        yield base, _NO_PRIVILEGE if os.geteuid() == 0 else ()
    finally:
        for path in [base, *base.rglob("*")]:
            if path.is_dir() and not path.is_symlink():
                path.chmod(0o755)
        shutil.rmtree(base)


def _files(base: Path) -> set[Path]:
    return {path for path in base.rglob("*") if (base / "data") not in path.parents}


def test_the_wheel_serves_unprivileged_with_read_only_code_from_any_folder(
    installed: tuple[Path, Sequence[str]], tmp_path: Path
) -> None:
    """What the Dockerfile does, without a container engine."""
    base, prefix = installed
    before = _files(base)
    program = Program(
        Path("/"),
        ["serve", "--host", "127.0.0.1", "--port", "0"],
        command=[*prefix, str(base / "venv" / "bin" / "plexus-proxy")],
        environment={"DATA_DIR": str(base / "data"), "PYTHONPATH": ""},
        log_folder=tmp_path,
    )
    try:
        assert program.get("/health") == (200, "OK")
        assert program.get("/readyz")[0] == 200
        status, page = program.get("/ui/")
        assert status == 200
        assert "<html" in page
        [asset] = re.findall(r'href="([^"]+\.css)', page)[:1]
        assert program.get(urljoin("/ui/", asset))[0] == 200
        os.kill(program.process.pid, 15)
        assert program.wait() == 0
    finally:
        program.close()
    assert (base / "data" / "plexus.yaml").exists()
    assert (base / "data" / "plexus.db").exists()
    assert _files(base) == before


def test_the_wheel_counts_tokens_unprivileged(installed: tuple[Path, Sequence[str]]) -> None:
    """The helper process, with the vocabulary from the wheel; frames are length + MessagePack."""
    base, prefix = installed
    run = subprocess.run(
        [*prefix, str(base / "venv" / "bin" / "python"), "-P", "-m", "plexus_proxy.tokens"],
        cwd="/",
        env={"PATH": os.environ["PATH"]},
        input=b"\0\0\0\x0e\x92\x07\x91\xaahello reef",
        capture_output=True,
        timeout=60,
    )
    assert run.stderr == b""
    assert run.stdout == b"\0\0\0\x03\x92\0\0" + b"\0\0\0\x03\x92\x07\x02"
