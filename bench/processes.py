"""Processes under measurement: started, pinned, their CPU time and memory read, ended for sure."""

import contextlib
import ctypes
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
MB = 1 << 20
READY_S = 40
STOP_S = 15
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)


def pinned(number: int) -> list[str]:
    """The prefix of a command for our first or second core; nothing if there is but one."""
    cores = sorted(os.sched_getaffinity(0))
    several = len(cores) > 1 and shutil.which("taskset") is not None
    return ["taskset", "-c", str(cores[number])] if several else []


def free_ports(count: int) -> list[int]:
    """Ports of the loopback that nobody listens on: two runs at once must not meet."""
    with contextlib.ExitStack() as held:
        probes = [held.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


def _end_with_parent() -> None:
    """In a child: even a killed benchmark leaves nothing running. Outlives exec."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


@contextlib.contextmanager
def process(
    command: Sequence[str], log: Path, *, core: int, environment: dict[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A started command in a process group of its own; all of it is gone at the end."""
    with log.open("wb") as output:
        started = subprocess.Popen(
            [*pinned(core), *command],
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=_end_with_parent,
        )
        try:
            yield started
        finally:
            started.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                started.wait(STOP_S)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(started.pid, signal.SIGKILL)
            started.wait()


def wait_until_ready(started: subprocess.Popen[bytes], url: str, log: Path) -> None:
    """Raises RuntimeError with the end of the log."""
    deadline = time.monotonic() + READY_S
    while started.poll() is None and time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.1)
    raise RuntimeError(f"{url} does not answer: {log.read_text(errors='replace')[-1500:]}")


def _stat(pid: int) -> list[str] | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    return text[text.rindex(")") + 2 :].split()


def tree(root: int) -> list[int]:
    """A process and its descendants."""
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit() and (found := _stat(int(entry))) is not None:
            children.setdefault(int(found[1]), []).append(int(entry))
    every, waiting = [], [root]
    while waiting:
        pid = waiting.pop()
        every.append(pid)
        waiting += children.get(pid, [])
    return every


def cpu_s(root: int) -> float:
    """User and system time of a process tree, of ended children too."""
    found = [each for pid in tree(root) if (each := _stat(pid)) is not None]
    return sum(sum(map(int, each[11:15])) for each in found) / TICKS_PER_S


def rss_mb(pids: Sequence[int]) -> float:
    found = [each for pid in pids if (each := _stat(pid)) is not None]
    return sum(int(each[21]) for each in found) * PAGE_BYTES / MB


class PeakMemory(threading.Thread):
    """Samples a process tree ten times a second."""

    def __init__(self, root: int) -> None:
        super().__init__(daemon=True)
        self._pids = tree(root)
        self._over = threading.Event()
        self.peak_mb = rss_mb(self._pids)
        self.start()

    def run(self) -> None:
        while not self._over.wait(0.1):
            self.peak_mb = max(self.peak_mb, rss_mb(self._pids))

    def stop(self) -> float:
        self._over.set()
        self.join()
        return self.peak_mb
