"""Measurements → the tables that people read, and whether the targets hold."""

from collections.abc import Iterable, Sequence
from statistics import median

from bench.contenders import BARE, GATEWAY
from bench.run import DIRECT, Measurement
from bench.scenarios import LATENCY_TARGET_MS, SCENARIOS

_HEAD = "| | scenario | {} | ratio to bare | target |\n|---|---|{}--:|--:|\n"


class Results:
    """Medians over the rounds."""

    def __init__(self, found: Sequence[Measurement]) -> None:
        self._found = found
        names = dict.fromkeys(each.contender for each in found)
        self.contenders = [name for name in names if name != DIRECT]
        self.scenarios = list(dict.fromkeys(each.scenario for each in found))

    def _of(self, contender: str, scenario: str) -> list[Measurement]:
        return [e for e in self._found if (e.contender, e.scenario) == (contender, scenario)]

    def cpu(self, contender: str, scenario: str) -> float | None:
        """µs per chunk of a stream, else ms per request."""
        rows = self._of(contender, scenario)
        values = [row.cpu_us_per_chunk or row.cpu_ms_per_request for row in rows]
        return median(values) if values else None

    def ratio(self, scenario: str) -> float | None:
        """Of the gateway to the bare proxy, round by round: both saw the same machine."""
        pairs = zip(self._of(GATEWAY, scenario), self._of(BARE, scenario), strict=False)
        values = [
            (ours.cpu_us_per_chunk or ours.cpu_ms_per_request)
            / (bare.cpu_us_per_chunk or bare.cpu_ms_per_request)
            for ours, bare in pairs
        ]
        return median(values) if values else None

    def added_ms(self, contender: str, scenario: str) -> tuple[float, float] | None:
        """Added to a direct request: p50 and p99."""
        rows, direct = self._of(contender, scenario), self._of(DIRECT, scenario)
        if not rows or not direct:
            return None
        p50 = median(row.p50_ms for row in rows) - median(row.p50_ms for row in direct)
        p99 = median(row.p99_ms for row in rows) - median(row.p99_ms for row in direct)
        return p50, p99

    def beyond_bare_ms(self, scenario: str) -> float | None:
        """By how much the p99 of what the gateway adds exceeds what the bare proxy adds."""
        ours, bare = self.added_ms(GATEWAY, scenario), self.added_ms(BARE, scenario)
        return ours[1] - bare[1] if ours and bare else None

    def peak_mb(self, contender: str, scenario: str) -> float:
        return max((row.peak_mb for row in self._of(contender, scenario)), default=0)

    def errors(self, contender: str, scenario: str) -> int:
        return sum(row.errors for row in self._of(contender, scenario))


def tables(results: Results, versions: str) -> str:
    """Markdown."""
    text = f"CPU time of one process ({versions}), medians.\n\n"
    text += _HEAD.format(" | ".join(results.contenders), "--:|" * len(results.contenders))
    text += "".join(_cpu_row(results, name) for name in _cpu_scenarios(results))
    latency = [name for name in results.scenarios if SCENARIOS[name].latency]
    if latency:
        heads = " | ".join(f"{name} p50 / p99" for name in results.contenders)
        text += f"\n| | added, ms | {heads} | p99 beyond bare, target < {LATENCY_TARGET_MS:g} |\n"
        text += f"|---|---|{'--:|' * len(results.contenders)}--:|\n"
        text += "".join(_latency_row(results, name) for name in latency)
    for name in results.scenarios:
        if SCENARIOS[name].peak_mb is not None:
            text += _memory_line(results, name)
    return text


def _cpu_scenarios(results: Results) -> Iterable[str]:
    return [name for name in results.scenarios if not SCENARIOS[name].latency]


def _cpu_row(results: Results, name: str) -> str:
    scenario = SCENARIOS[name]
    unit = "µs/chunk" if scenario.chunks else "ms/request"
    cells = [_number(results.cpu(each, name)) for each in results.contenders]
    ratio, target = results.ratio(name), scenario.target
    last = "" if target is None or ratio is None else f"≤ {target} {_mark(ratio <= target)}"
    return (
        f"| {name} | {scenario.title}, {unit} | {' | '.join(cells)} | {_number(ratio)} | {last} |\n"
    )


def _latency_row(results: Results, name: str) -> str:
    added = [results.added_ms(each, name) for each in results.contenders]
    cells = ["–" if each is None else f"{each[0]:.2f} / {each[1]:.2f}" for each in added]
    beyond = results.beyond_bare_ms(name)
    last = "–" if beyond is None else f"{beyond:.2f} {_mark(beyond < LATENCY_TARGET_MS)}"
    return f"| {name} | {SCENARIOS[name].title} | {' | '.join(cells)} | {last} |\n"


def _memory_line(results: Results, name: str) -> str:
    scenario = SCENARIOS[name]
    cells = ", ".join(
        f"{each} {results.peak_mb(each, name):.0f} MB, {results.errors(each, name)} errors"
        for each in results.contenders
    )
    holds = results.peak_mb(GATEWAY, name) < scenario.peak_mb and not results.errors(GATEWAY, name)
    mark = f" {_mark(holds)}" if GATEWAY in results.contenders else ""
    return f"\n{scenario.title}: {cells} (target: under {scenario.peak_mb} MB, no error{mark}).\n"


def _mark(holds: bool) -> str:
    return "✓" if holds else "✗"


def _number(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.3f}" if value < 1 else f"{value:.2f}" if value < 10 else f"{value:.1f}"


def missed(results: Results) -> list[str]:
    """The targets that do not hold, a line each."""
    lines: list[str] = []
    for name in results.scenarios:
        scenario = SCENARIOS[name]
        ratio = results.ratio(name)
        if scenario.target is not None and ratio is not None and ratio > scenario.target:
            lines.append(f"{name}: {ratio:.2f} times the bare proxy's CPU, over {scenario.target}")
        if scenario.peak_mb is not None and results.peak_mb(GATEWAY, name) >= scenario.peak_mb:
            lines.append(
                f"{name}: {results.peak_mb(GATEWAY, name):.0f} MB, over {scenario.peak_mb}"
            )
        if errors := results.errors(GATEWAY, name):
            lines.append(f"{name}: {errors} errors")
        beyond = results.beyond_bare_ms(name)
        if beyond is not None and beyond >= LATENCY_TARGET_MS:
            lines.append(f"{name}: p99 is {beyond:.2f} ms beyond the bare proxy's")
    return lines
