"""The process environment, read once at start into one frozen Struct."""

import os
from collections.abc import Iterator, Mapping
from ipaddress import ip_address
from pathlib import Path

from msgspec import Struct

from plexus_proxy.crypto import Secret

DEFAULT_PORT = 4000


class Environment(Mapping[str, str]):
    """The whole environment, for `${NAME}` in the config. Values never print."""

    __slots__ = ("_values",)

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = dict(values)

    def __getitem__(self, name: str) -> str:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"Environment({len(self)} variables)"


class Settings(Struct, frozen=True, kw_only=True):
    """What the environment says; command-line flags override single fields."""

    config_file: Path | None
    """CONFIG_FILE; None: `./config/plexus.yaml`, else under DATA_DIR."""
    database_url: str
    """DATABASE_URL: `sqlite://path`, `sqlite://:memory:` or `postgres://…`."""
    data_dir: Path
    """DATA_DIR: the only folder the process must be able to write to."""
    auth_json: Path
    """AUTH_JSON: OAuth credentials of the predecessor."""
    host: str
    port: int
    log_level: str
    encryption_key: Secret | None
    """ENCRYPTION_KEY: 64 hex digits or a passphrase; None stores plain text."""
    environment: Environment = Environment({})
    """What `${NAME}` in the config may name."""

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach the server."""
        if self.host.lower() == "localhost":
            return True
        try:
            return ip_address(self.host.strip("[]")).is_loopback
        except ValueError:
            return False


class SettingsError(Exception):
    """An environment variable has a value we cannot use; the message names it."""


def read_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """Read the environment (or `environ`). Raises SettingsError."""
    env = os.environ if environ is None else environ  # noqa: TID251 - this is the one place
    data_dir = Path(env.get("DATA_DIR") or "./data")
    config_file = env.get("CONFIG_FILE")
    key = env.get("ENCRYPTION_KEY")
    return Settings(
        config_file=Path(config_file) if config_file else None,
        database_url=env.get("DATABASE_URL") or f"sqlite://{data_dir.absolute() / 'plexus.db'}",
        data_dir=data_dir,
        auth_json=Path(env.get("AUTH_JSON") or "./auth.json"),
        host=env.get("HOST") or "0.0.0.0",
        port=_port(env.get("PORT")),
        log_level=_log_level(env.get("LOG_LEVEL")),
        encryption_key=Secret(key) if key else None,
        environment=Environment(env),
    )


def _port(text: str | None) -> int:
    if not text:
        return DEFAULT_PORT
    if not text.isascii() or not text.isdigit() or int(text) > 65535:
        raise SettingsError(f"PORT must be a number from 0 to 65535, not {text!r}.")
    return int(text)


_LEVELS = {
    "error": "ERROR",
    "warn": "WARNING",
    "warning": "WARNING",
    "info": "INFO",
    "debug": "DEBUG",
    "silly": "DEBUG",
}


def _log_level(text: str | None) -> str:
    level = _LEVELS.get((text or "info").lower())
    if level is None:
        raise SettingsError(f"LOG_LEVEL must be one of {', '.join(_LEVELS)}, not {text!r}.")
    return level
