"""plexus-proxy as an operator runs it: a process with an environment, a folder and signals."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
_SERVING = re.compile(r"serving on (http://\S+)")


class Program:
    """A started `plexus-proxy`; its output is collected in a file."""

    def __init__(
        self,
        folder: Path,
        arguments: Sequence[str],
        *,
        environment: dict[str, str] | None = None,
        command: Sequence[str] = (sys.executable, "-m", "plexus_proxy"),
        log_folder: Path | None = None,
        terminal: bool = False,
    ) -> None:
        self._log = (log_folder or folder) / f"output-{time.monotonic_ns()}.txt"
        kept = {name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR") if name in os.environ}
        home = {"DATA_DIR": str(folder / "data"), "PYTHONPATH": str(ROOT)}
        self._terminal: int | None = None
        with self._log.open("wb") as output:
            stdout: int = output.fileno()
            if terminal:
                self._terminal, stdout = os.openpty()
            self.process = subprocess.Popen(
                [*command, *arguments],
                cwd=folder,
                env={**kept, **home, **(environment or {})},
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=output,
                start_new_session=True,
            )
            if terminal:
                os.close(stdout)
        self._shown = b""

    @property
    def output(self) -> str:
        """Both streams; only stderr if stdout is a terminal."""
        return self._log.read_text()

    @property
    def shown(self) -> str:
        """What stood on the terminal."""
        assert self._terminal is not None
        os.set_blocking(self._terminal, False)
        with contextlib.suppress(BlockingIOError, OSError):
            while piece := os.read(self._terminal, 65536):
                self._shown += piece
        return self._shown.decode().replace("\r\n", "\n")

    def url(self, limit_s: float = 30) -> str:
        """Where it serves; waits until it does."""
        deadline = time.monotonic() + limit_s
        while time.monotonic() < deadline:
            if found := _SERVING.search(self.output):
                return found[1]
            if self.process.poll() is not None:
                break
            time.sleep(0.02)
        raise AssertionError(f"does not serve: {self.output}")

    def get(self, path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(self.url() + path, timeout=10) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def wait(self, limit_s: float = 30) -> int:
        """The exit code."""
        return self.process.wait(limit_s)

    def close(self) -> None:
        """End it and all it has started."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        if self._terminal is not None:
            os.close(self._terminal)


@contextlib.contextmanager
def running(
    folder: Path,
    *arguments: str,
    environment: dict[str, str] | None = None,
    terminal: bool = False,
) -> Iterator[Program]:
    """`plexus-proxy serve` on a free loopback port."""
    program = Program(
        folder,
        ["serve", "--host", "127.0.0.1", "--port", "0", *arguments],
        environment=environment,
        terminal=terminal,
    )
    try:
        yield program
    finally:
        program.close()


def finished(
    folder: Path, *arguments: str, environment: dict[str, str] | None = None
) -> tuple[int, str]:
    """Exit code and output of a command that ends by itself."""
    program = Program(folder, arguments, environment=environment)
    try:
        return program.wait(), program.output
    finally:
        program.close()
