"""The command line: `plexus-proxy serve | init | check | version`, or `python -m plexus_proxy`.

What only `serve` needs is imported when it serves, so that the other commands answer at once.
Failures that are the operator's to mend end in one line on stderr and exit code 1.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from msgspec import structs

from plexus_proxy import __version__, log
from plexus_proxy.config.initial import AlreadyThere, CannotWrite, Initial, write_initial
from plexus_proxy.config.load import check_file, locate
from plexus_proxy.settings import Settings, SettingsError, read_settings


class _Failure(Exception):
    """Ends the command; the message is for the operator."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; the exit code."""
    arguments = _parser().parse_args(argv)
    try:
        return arguments.command(arguments)
    except (_Failure, SettingsError) as error:
        return _fail(str(error))
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="plexus-proxy", description="One base URL for every LLM client format and provider."
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    serve = commands.add_parser("serve", help="serve requests; without a config, make one first")
    serve.set_defaults(command=_serve)
    serve.add_argument("--config", type=Path, metavar="FILE", help="wins over CONFIG_FILE")
    serve.add_argument("--host", help="wins over HOST")
    serve.add_argument("--port", type=int, help="wins over PORT; 0 takes a free one")
    serve.add_argument(
        "--workers", type=_positive, default=1, metavar="N", help="processes (default: 1)"
    )

    init = commands.add_parser("init", help="write a config with fresh secrets")
    init.set_defaults(command=_init)
    init.add_argument("--config", type=Path, metavar="FILE", help="wins over CONFIG_FILE")

    check = commands.add_parser("check", help="print every problem in a config")
    check.set_defaults(command=_check)
    check.add_argument("--strict", action="store_true", help="warnings count as errors")
    check.add_argument("file", type=Path, nargs="?", metavar="FILE", help="default: CONFIG_FILE")

    version = commands.add_parser("version", help="print the version")
    version.set_defaults(command=_version)
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return number


def _settings(arguments: argparse.Namespace) -> Settings:
    """The environment, with what the command line says on top."""
    settings = read_settings()
    given = {
        "config_file": getattr(arguments, "config", None),
        "host": getattr(arguments, "host", None),
        "port": getattr(arguments, "port", None),
    }
    return structs.replace(
        settings, **{name: value for name, value in given.items() if value is not None}
    )


def _serve(arguments: argparse.Namespace) -> int:
    settings = _settings(arguments)
    log.configure(settings.log_level)
    _require_data_dir(settings)
    made = _first_config(settings)

    from plexus_proxy.app import build
    from plexus_proxy.server.failures import EXPECTED
    from plexus_proxy.server.listen import bind, url_of

    try:
        sockets = bind(settings.host, settings.port)
        if made is not None:
            _welcome(made, url_of(sockets[0]))
        if arguments.workers == 1:
            from plexus_proxy.server.runner import run

            run(settings, build, sockets)
            return 0

        from plexus_proxy.config.store import usable_snapshot
        from plexus_proxy.db.open import migrate
        from plexus_proxy.server.worker import run_workers

        shutdown = usable_snapshot(settings).config.shutdown
        migrate(settings.database_url)
        return run_workers(settings, build, sockets, arguments.workers, shutdown)
    except EXPECTED as error:
        raise _Failure(str(error)) from error


def _require_data_dir(settings: Settings) -> None:
    """Made if it is not there; everything that is written at run time goes into it."""
    folder = settings.data_dir
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".writable"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise _Failure(
            f"DATA_DIR {folder} cannot be written: {error.strerror}. Make it writable for this"
            " user, or name another folder with DATA_DIR."
        ) from error


def _first_config(settings: Settings) -> Initial | None:
    """What this start has written; None if a config is there, or another start was quicker."""
    if locate(settings).exists():
        return None
    try:
        return write_initial(settings)
    except AlreadyThere:
        return None
    except CannotWrite as error:
        raise _Failure(str(error)) from error


def _make_config(settings: Settings) -> Initial:
    try:
        return write_initial(settings)
    except (AlreadyThere, CannotWrite) as error:
        raise _Failure(str(error)) from error


def _welcome(made: Initial, url: str) -> None:
    """What to do after the first start. Secrets go to a terminal only, and only this once."""
    if not sys.stdout.isatty():
        _say(f"Wrote {made.path} with fresh secrets.")
        return
    _say(
        f"""
Plexus proxy runs for the first time and wrote {made.path}.

  Dashboard   {url}/ui/
  Admin key   {made.admin_key.reveal()}

  Try it:
  curl {url}/v1/chat/completions \\
    -H 'Authorization: Bearer {made.key.reveal()}' -H 'Content-Type: application/json' \\
    -d '{{"model": "{made.model}", "messages": [{{"role": "user", "content": "Hello!"}}]}}'

Both keys are kept in that file and are not shown again.
"""
    )


def _init(arguments: argparse.Namespace) -> int:
    made = _make_config(_settings(arguments))
    _say(f"Wrote {made.path} with fresh secrets.")
    return 0


def _check(arguments: argparse.Namespace) -> int:
    settings = read_settings()
    path = arguments.file or locate(settings)
    problems = check_file(path, settings.environment)
    for problem in problems:
        _say(str(problem))
    errors = [each for each in problems if arguments.strict or each.severity == "error"]
    if not errors:
        _say(f"{path}: ok" + (f", {len(problems)} warnings" if problems else ""))
    return 1 if errors else 0


def _version(arguments: argparse.Namespace) -> int:
    _say(f"plexus-proxy {__version__}")
    return 0


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _fail(text: str) -> int:
    sys.stderr.write(f"plexus-proxy: {log.redact(text)}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
