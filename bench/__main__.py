"""`python -m bench`: measure, print the tables, say which targets do not hold (exit code 1)."""

import argparse
import signal
import sys
import tempfile
from pathlib import Path

from bench.contenders import BARE, NAMES, ROOT, version
from bench.report import Results, missed, tables
from bench.run import as_json, measure_all, say
from bench.scenarios import SCENARIOS

_README = ROOT / "README.md"
_BEGIN, _END = "<!-- bench:begin -->", "<!-- bench:end -->"


def main() -> int:
    given = _arguments()
    if given.list:
        for name, scenario in SCENARIOS.items():
            print(f"{name:4} {scenario.title}")
        return 0
    signal.signal(signal.SIGTERM, _exit)  # or nothing would be cleaned up
    with tempfile.TemporaryDirectory(prefix="plexus-bench-") as folder:
        try:
            found = measure_all(
                given.contenders, given.scenarios, given.rounds, given.duration, Path(folder)
            )
        except RuntimeError as error:
            say(str(error))
            return 2
        except KeyboardInterrupt:
            return 130
    results = Results(found)
    shown = [name for name in results.contenders if name != BARE]
    versions = ", ".join(dict.fromkeys(version(name) for name in reversed(shown)))
    text = tables(results, versions)
    print(text)
    if given.json:
        given.json.write_text(as_json(found))
    if given.readme:
        _write_readme(text)
    lines = missed(results)
    for line in lines:
        say(f"MISSED {line}")
    return 1 if lines else 0


def _exit(number: int, _: object) -> None:
    sys.exit(128 + number)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--list", action="store_true", help="name the scenarios")
    parser.add_argument("--contenders", type=_some(NAMES), default=list(NAMES), metavar="A,B")
    parser.add_argument(
        "--scenarios", type=_some(SCENARIOS), default=list(SCENARIOS), metavar="A,B"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--duration", type=float, default=2.0, help="seconds of each load")
    parser.add_argument("--json", type=Path, metavar="FILE", help="all single measurements")
    parser.add_argument("--readme", action="store_true", help="put the tables into README.md")
    return parser.parse_args()


def _some(known: "dict[str, object] | tuple[str, ...]"):
    def chosen(text: str) -> list[str]:
        names = text.split(",")
        if unknown := [name for name in names if name not in known]:
            raise argparse.ArgumentTypeError(f"unknown: {', '.join(unknown)}")
        return names

    return chosen


def _write_readme(text: str) -> None:
    head, _, rest = _README.read_text().partition(_BEGIN)
    tail = rest.partition(_END)[2]
    _README.write_text(f"{head}{_BEGIN}\n{text}{_END}{tail}")


if __name__ == "__main__":
    sys.exit(main())
