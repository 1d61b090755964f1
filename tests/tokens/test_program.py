"""The helper process below the real program: one and several workers, every way to end."""

import json
import signal
import time
import urllib.request
from pathlib import Path

import psutil
import pytest
from support.program import Program, running

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
shutdown: {drain_s: 0, grace_s: 5}
"""
NAMES = ("SIGTERM", "SIGINT", "SIGKILL")


def count(url: str) -> int:
    body = {"model": "demo", "messages": [{"role": "user", "content": "hello world"}]}
    request = urllib.request.Request(
        f"{url}/v1/messages/count_tokens",
        json.dumps(body).encode(),
        {"content-type": "application/json", "x-api-key": "key-secret-of-this-test"},
    )
    with urllib.request.urlopen(request, timeout=60) as response:
        return json.loads(response.read())["input_tokens"]


def helpers(program: Program) -> list[psutil.Process]:
    below = psutil.Process(program.process.pid).children(recursive=True)
    return [each for each in below if "plexus_proxy.tokens" in each.cmdline()]


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL], ids=NAMES)
def test_it_ends_with_the_program(tmp_path: Path, workers: str, end: signal.Signals) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "plexus.yaml").write_text(CONFIG)
    with running(tmp_path, "--workers", workers) as program:
        assert count(program.url()) == 8  # two words; three tokens each for turn and answer
        started = helpers(program)
        everyone = psutil.Process(program.process.pid).children(recursive=True)
        assert len(started) == 1
        program.signal(end)
        assert program.wait() == (-end if end == signal.SIGKILL else 0)
        gone, left = psutil.wait_procs(everyone, timeout=15)
        assert not left
        assert len(gone) >= 1
        for word in ("Traceback", "Warning", "Error"):
            assert word not in program.output


def test_a_killed_helper_is_replaced_and_leaves_no_zombie(tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "plexus.yaml").write_text(CONFIG)
    with running(tmp_path) as program:
        for _ in range(3):
            assert count(program.url()) == 8
            [helper] = helpers(program)
            helper.kill()
            assert count(program.url()) == 8
            deadline = time.monotonic() + 10
            while helper.is_running():  # a zombie is
                assert time.monotonic() < deadline
                time.sleep(0.02)
