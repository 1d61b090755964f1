"""One run: every contender under every scenario, in turns, so that all share the machine's moods.

The contender under load is pinned to one core, the mock provider and the load generator to the
other. CPU time is that of the contender's whole process tree from before a load to a while after
it, so that rows written late count. Every answer is checked by the load generator.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.contenders import KEY, PROVIDER_KEY, ROOT, Contender, contender
from bench.processes import PeakMemory, cpu_s, free_ports, pinned, process, wait_until_ready
from bench.scenarios import SCENARIOS, Scenario, body_of

SETTLE_S = 0.7
BUSY_LOAD = 0.5
LOAD_CORE, CONTENDER_CORE = 0, 1
DIRECT = "direct"


@dataclass
class Measurement:
    """One contender under one scenario once. Latencies in milliseconds."""

    contender: str
    scenario: str
    answers: int
    errors: int
    cpu_ms_per_request: float
    cpu_us_per_chunk: float | None
    requests_per_s: float
    p50_ms: float
    p99_ms: float
    peak_mb: float


def compile_tools(folder: Path) -> Path:
    """The mock provider and the load generator; returns the folder of the binaries."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("mock", "load"):
        source, binary = ROOT / "bench" / "src" / f"{name}.c", folder / name
        if not binary.exists() or binary.stat().st_mtime < source.stat().st_mtime:
            subprocess.run(["cc", "-O2", "-w", "-o", binary, source], check=True)
    return folder


def measure_all(
    names: Sequence[str], scenarios: Sequence[str], rounds: int, duration_s: float, folder: Path
) -> list[Measurement]:
    """Raises RuntimeError if something does not start or answers wrongly from the beginning."""
    if (busy := os.getloadavg()[0]) > BUSY_LOAD:
        say(
            f"other programs keep this machine busy (load {busy:.1f}): trust no latency, few ratios"
        )
    tools = compile_tools(ROOT / ".bench")
    mock_port, *ports = free_ports(1 + len(names))
    found: list[Measurement] = []
    with ExitStack() as stack:
        mock_log = folder / "mock.log"
        mock = [str(tools / "mock"), str(mock_port), PROVIDER_KEY]
        running = stack.enter_context(process(mock, mock_log, core=LOAD_CORE))
        wait_until_ready(running, f"http://127.0.0.1:{mock_port}/health", mock_log)
        contenders: list[tuple[Contender, int]] = []
        for name, port in zip(names, ports, strict=True):
            each = contender(name, port, mock_port, folder / name)
            if each is None:
                say(f"{name}: not installed, left out")
                continue
            log = folder / f"{name}.log"
            started = stack.enter_context(
                process(each.command, log, core=CONTENDER_CORE, environment=each.environment)
            )
            wait_until_ready(started, f"http://127.0.0.1:{each.port}/health", log)
            contenders.append((each, started.pid))
        load = _Load(tools, folder, mock_port)
        for each, _ in contenders:
            for name in scenarios:
                load.warm_up(each, SCENARIOS[name])
        for turn in range(rounds):
            for name in scenarios:
                scenario = SCENARIOS[name]
                if scenario.latency:
                    found.append(load.direct(name, scenario))
                for each, pid in contenders:
                    found.append(_measured(load, each, pid, name, duration_s))
                    say(f"{turn + 1}/{rounds} {_line(found[-1])}")
    return found


def _measured(
    load: "_Load", each: Contender, pid: int, name: str, duration_s: float
) -> Measurement:
    scenario = SCENARIOS[name]
    memory = PeakMemory(pid)
    before = cpu_s(pid)
    result = load.run(each, scenario, requests=scenario.requests, duration_s=duration_s)
    time.sleep(SETTLE_S)
    used_s = cpu_s(pid) - before
    return _measurement(each.name, name, result, used_s, memory.stop())


def _measurement(
    who: str, name: str, result: dict[str, Any], used_s: float, peak_mb: float
) -> Measurement:
    answers = result["ok"]
    spread = result["ttft"] if SCENARIOS[name].chunks else result["lat"]
    return Measurement(
        contender=who,
        scenario=name,
        answers=answers,
        errors=result["errors"],
        cpu_ms_per_request=used_s * 1e3 / max(1, answers),
        cpu_us_per_chunk=used_s * 1e6 / result["tokens"] if result["tokens"] else None,
        requests_per_s=result["rps"],
        p50_ms=spread["p50"] / 1e3,
        p99_ms=spread["p99"] / 1e3,
        peak_mb=peak_mb,
    )


class _Load:
    """Runs the load generator."""

    def __init__(self, tools: Path, folder: Path, mock_port: int) -> None:
        self._program = str(tools / "load")
        self._mock_port = mock_port
        self._body = folder / "body.json"

    def run(
        self, each: Contender, scenario: Scenario, *, requests: int, duration_s: float
    ) -> dict[str, Any]:
        key = "sk-wrong-key-0123456789" if scenario.wrong_key else KEY
        model = each.alias(scenario.provider, scenario.model)
        return self._run(each.port, key, model, scenario, requests, duration_s)

    def warm_up(self, each: Contender, scenario: Scenario) -> None:
        """A few requests; raises RuntimeError if one is answered wrongly."""
        result = self.run(each, scenario, requests=min(scenario.requests or 200, 20), duration_s=0)
        if result["errors"]:
            raise RuntimeError(
                f"{each.name} fails at '{scenario.title}': {result['err']} "
                f"{result['bad_status']} {result['bad_sample']}"
            )

    def direct(self, name: str, scenario: Scenario) -> Measurement:
        """The same load on the mock itself."""
        result = self._run(
            self._mock_port, PROVIDER_KEY, scenario.model, scenario, scenario.requests, 0
        )
        return _measurement(DIRECT, name, result, 0, 0)

    def _run(
        self,
        port: int,
        key: str,
        model: str,
        scenario: Scenario,
        requests: int,
        duration_s: float,
    ) -> dict[str, Any]:
        self._body.write_bytes(body_of(scenario.body, model))
        options = {
            "--port": port,
            "--path": scenario.path.replace("@MODEL@", model),
            "--body": self._body,
            "--conc": min(scenario.concurrency, requests or scenario.concurrency),
            "--status": scenario.status,
            "--maxwait": scenario.patience_s,
            "--ramp": scenario.connections_per_s,
            "--requests" if requests else "--duration": requests or duration_s,
            "-H": f"Authorization: Bearer {key}",
        }
        if scenario.expect:
            options["--expect"] = scenario.expect
        if scenario.chunks:
            options["--tokens"] = scenario.chunks
        command = [*pinned(LOAD_CORE), self._program, *(["--repeats"] if scenario.repeats else [])]
        command += [str(part) for option in options.items() for part in option]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if not done.stdout.strip():  # an exit code alone only tells that some answers were wrong
            raise RuntimeError(f"the load generator failed: {done.stderr}")
        return json.loads(done.stdout)


def _line(found: Measurement) -> str:
    chunk = f"{found.cpu_us_per_chunk:7.2f} µs/chunk" if found.cpu_us_per_chunk else " " * 16
    return (
        f"{found.scenario:4} {found.contender:7} {found.cpu_ms_per_request:9.3f} ms/request {chunk}"
        f"  p50 {found.p50_ms:8.2f} ms  {found.peak_mb:5.0f} MB  errors {found.errors}"
    )


def as_json(found: Sequence[Measurement]) -> str:
    return json.dumps([asdict(each) for each in found], indent=1)


def say(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()
