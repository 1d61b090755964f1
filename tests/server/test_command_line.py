"""The command line as an operator meets it: real processes, each in a folder of its own."""

import json
import re
import shlex
import signal
import socket
import sqlite3
import stat
import subprocess
import time
import urllib.request
from pathlib import Path

import psutil
import pytest
from support.program import finished, running

CONFIG = """
adminKey: admin-secret-of-this-test
providers:
  demo:
    api_base_url: demo://
    models: [demo-chat]
models:
  demo:
    targets:
      - {provider: demo, model: demo-chat}
keys:
  me: {secret: key-secret-of-this-test}
shutdown: {drain_s: 0.3, grace_s: 30}
"""


@pytest.fixture
def configured(tmp_path: Path) -> Path:
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "plexus.yaml").write_text(CONFIG)
    return tmp_path


def _chat(url: str, words: int, *, stream: bool = False) -> urllib.request.Request:
    body = {
        "model": "demo",
        "stream": stream,
        "max_tokens": words,
        "messages": [{"role": "user", "content": "Hello!"}],
    }
    return urllib.request.Request(
        f"{url}/v1/chat/completions",
        data=json.dumps(body).encode(),
        headers={
            "Authorization": "Bearer key-secret-of-this-test",
            "Content-Type": "application/json",
        },
    )


def _rows(folder: Path) -> int:
    with sqlite3.connect(folder / "data" / "plexus.db") as database:
        [(count,)] = database.execute("SELECT COUNT(*) FROM usage")
    database.close()
    return count


def test_version(tmp_path: Path) -> None:
    code, output = finished(tmp_path, "version")
    assert code == 0
    assert re.fullmatch(r"plexus-proxy \d+\.\d+\.\d+\n", output)


def test_a_wrong_option_is_explained(tmp_path: Path) -> None:
    code, output = finished(tmp_path, "serve", "--workers", "0")
    assert code == 2
    assert "--workers" in output


def test_init_writes_a_config_only_its_owner_can_read_and_prints_no_secret(tmp_path: Path) -> None:
    code, output = finished(tmp_path, "init")
    path = tmp_path / "config" / "plexus.yaml"
    assert code == 0
    assert "plexus.yaml" in output
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    secrets = re.findall(r"sk-[A-Za-z0-9_-]{16,}", path.read_text())
    assert len(secrets) >= 2
    assert not any(secret in output for secret in secrets)


def test_init_never_overwrites(configured: Path) -> None:
    code, output = finished(configured, "init")
    assert code == 1
    assert "Traceback" not in output
    assert (configured / "config" / "plexus.yaml").read_text() == CONFIG


def test_what_init_writes_passes_the_strict_check(tmp_path: Path) -> None:
    assert finished(tmp_path, "init")[0] == 0
    assert finished(tmp_path, "check", "--strict")[0] == 0


def test_check_prints_every_problem_with_path_and_line(configured: Path) -> None:
    path = configured / "broken.yaml"
    path.write_text(CONFIG.replace("api_base_url: demo://", "api_base_url: 7\n    enabled: maybe"))
    code, output = finished(configured, "check", str(path))
    assert code == 1
    assert re.search(r"^providers\.demo\.api_base_url \(line 5\): ", output, re.MULTILINE)
    assert re.search(r"^providers\.demo\.enabled \(line 6\): ", output, re.MULTILINE)


def test_check_strict_makes_errors_of_warnings(configured: Path) -> None:
    path = configured / "odd.yaml"
    path.write_text(CONFIG.replace("adminKey:", "provider: {}\nadminKey:"))
    code, output = finished(configured, "check", str(path))
    assert code == 0
    assert "providers" in output
    assert finished(configured, "check", "--strict", str(path))[0] == 1


def test_check_of_a_file_that_is_not_there(tmp_path: Path) -> None:
    code, output = finished(tmp_path, "check", "nowhere.yaml")
    assert code == 1
    assert "nowhere.yaml" in output
    assert "Traceback" not in output


def test_the_first_start_without_a_terminal_prints_the_path_and_no_secret(tmp_path: Path) -> None:
    with running(tmp_path) as program:
        assert program.get("/health") == (200, "OK")
        secrets = re.findall(
            r"sk-[A-Za-z0-9_-]{16,}", (tmp_path / "config" / "plexus.yaml").read_text()
        )
        assert "plexus.yaml" in program.output
        assert secrets
        assert not any(secret in program.output for secret in secrets)


def test_the_first_start_in_a_terminal_prints_a_curl_that_works(tmp_path: Path) -> None:
    with running(tmp_path, terminal=True) as program:
        url = program.url()
        shown = program.shown
        assert f"{url}/ui/" in shown
        command = re.search(r"curl (?:.|\\\n)*?}'\n", shown)
        assert command
        done = subprocess.run(
            ["curl", "--silent", "--fail", *shlex.split(command[0].replace("\\\n", " "))[1:]],
            capture_output=True,
            check=True,
        )
        answer = json.loads(done.stdout)
        assert "Hello!" in answer["choices"][0]["message"]["content"]
        program.signal(signal.SIGTERM)
        program.wait()
    with running(tmp_path, terminal=True) as again:
        again.url()
        assert again.shown == ""


def _fails(
    folder: Path, *arguments: str, environment: dict[str, str] | None = None, says: str
) -> None:
    code, output = finished(folder, *arguments, environment=environment)
    assert code == 1
    assert says in output
    assert "Traceback" not in output
    assert "hunter2" not in output


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_port_in_use_is_one_clear_line(configured: Path, workers: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = str(holder.getsockname()[1])
        arguments = ("serve", "--host", "127.0.0.1", "--port", port, "--workers", workers)
        _fails(configured, *arguments, says="already in use")


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize(
    ("environment", "says"),
    [
        ({"PORT": "many"}, "PORT"),
        ({"LOG_LEVEL": "loud"}, "LOG_LEVEL"),
        ({"DATABASE_URL": "mysql://root:hunter2@db/x"}, "DATABASE_URL"),
        ({"DATA_DIR": "/dev/null"}, "DATA_DIR"),
    ],
)
def test_a_setting_that_cannot_be_used_is_one_clear_line(
    configured: Path, workers: str, environment: dict[str, str], says: str
) -> None:
    arguments = ("serve", "--host", "127.0.0.1", "--workers", workers)
    _fails(configured, *arguments, environment=environment, says=says)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_database_of_a_newer_version_is_left_alone(configured: Path, workers: str) -> None:
    with running(configured) as program:
        program.url()
    with sqlite3.connect(configured / "data" / "plexus.db") as database:
        database.execute("INSERT INTO schema_migrations VALUES (9999, 'future', 0)")
    database.close()
    arguments = ("serve", "--host", "127.0.0.1", "--port", "0", "--workers", workers)
    _fails(configured, *arguments, says="9999")


def test_a_config_that_cannot_be_used_is_told_line_by_line(configured: Path) -> None:
    path = configured / "config" / "plexus.yaml"
    path.write_text(CONFIG.replace("adminKey", "adminKeys"))
    _fails(configured, "serve", "--host", "127.0.0.1", "--port", "0", says="adminKey")


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_lets_streams_end_and_loses_no_row(
    configured: Path, workers: str, number: signal.Signals
) -> None:
    with running(configured, "--workers", workers) as program:
        url = program.url()
        with urllib.request.urlopen(_chat(url, 40, stream=True), timeout=30) as response:
            begin = response.readline()
            program.signal(number)
            rest = response.read()
        assert begin.startswith(b"data: ")
        assert rest.rstrip().endswith(b"data: [DONE]")
        assert program.wait() == 0
    assert _rows(configured) == 1


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_second_signal_stops_at_once(configured: Path, workers: str) -> None:
    with running(configured, "--workers", workers) as program:
        url = program.url()
        with urllib.request.urlopen(_chat(url, 500, stream=True), timeout=30) as response:
            response.readline()
            program.signal(signal.SIGTERM)
            time.sleep(0.6)
            program.signal(signal.SIGTERM)
            assert program.wait(10) == 0
    assert _rows(configured) == 1


def test_a_worker_that_dies_is_replaced(configured: Path) -> None:
    with running(configured, "--workers", "2") as program:
        program.url()
        master = psutil.Process(program.process.pid)
        deadline = time.monotonic() + 20
        while len(before := {child.pid for child in master.children()}) < 2:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        psutil.Process(min(before)).kill()
        while len(now := {child.pid for child in master.children()}) < 2 or now == before:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert program.get("/health") == (200, "OK")
        program.signal(signal.SIGTERM)
        assert program.wait() == 0


def test_workers_without_a_master_stop(configured: Path) -> None:
    with running(configured, "--workers", "2") as program:
        program.url()
        workers = psutil.Process(program.process.pid).children()
        program.process.kill()
        program.wait()
        _, alive = psutil.wait_procs(workers, timeout=20)
        for each in alive:
            each.kill()
        assert not alive


def test_a_cold_start_takes_little_time(configured: Path) -> None:
    """CPU time of the process until it has answered: what a busy machine cannot falsify."""
    with running(configured) as program:
        assert program.get("/health") == (200, "OK")
        used = psutil.Process(program.process.pid).cpu_times()
        assert used.user + used.system < 1.5
