"""The first config: a working file with fresh secrets and the built-in demo provider."""

import errno
import os
from pathlib import Path

from msgspec import Struct

from plexus_proxy.config.files import create_file
from plexus_proxy.config.load import FILE_NAME, locate
from plexus_proxy.crypto import Secret, generate_secret
from plexus_proxy.settings import Settings

MODEL = "demo"
"""The alias a first request asks for."""

_TEMPLATE = """\
# Plexus proxy. Edits take effect within a second; `plexus-proxy check` finds what is wrong.
# A complete example is config/plexus.example.yaml, every key is in docs/CONFIGURATION.md.

# Signs in to the dashboard (/ui/) and the management API.
adminKey: {admin_key}

# Who answers.
providers:
  demo: # built in, needs no account
    api_base_url: demo://
    models: [demo-chat]

  # openai:
  #   api_base_url: https://api.openai.com/v1
  #   api_key: ${{OPENAI_API_KEY}}
  #   models: [gpt-5.2]

  # anthropic:
  #   api_base_url: https://api.anthropic.com/v1
  #   api_key: ${{ANTHROPIC_API_KEY}}
  #   models: [claude-sonnet-4-5]

# The names your clients ask for.
models:
  {model}:
    targets:
      - {{provider: demo, model: demo-chat}}

  # smart:
  #   selector: in_order
  #   targets:
  #     - {{provider: openai, model: gpt-5.2}}
  #     - {{provider: anthropic, model: claude-sonnet-4-5}}

# Who may ask. The name is what the dashboard shows.
keys:
  me:
    secret: {key}
"""


class Initial(Struct, frozen=True):
    """What was written, for the one time it is shown."""

    path: Path
    admin_key: Secret
    key: Secret
    model: str


class AlreadyThere(Exception):
    """A config exists; it is never overwritten."""


class CannotWrite(Exception):
    """No place for a config could be written; the message names them."""


def write_initial(settings: Settings) -> Initial:
    """Write a config readable by its owner only: to CONFIG_FILE if that is set, else to ./config,
    else into DATA_DIR. Raises AlreadyThere, CannotWrite."""
    there = locate(settings)
    if there.exists():
        raise AlreadyThere(_stays(there))
    admin_key, key = generate_secret("sk-admin"), generate_secret("sk-plexus")
    text = _TEMPLATE.format(admin_key=admin_key, key=key, model=MODEL)
    refused: list[str] = []
    for path in _places(settings):
        try:
            _make_folder(path.parent)
            create_file(path, text)
        except FileExistsError as error:  # another start was faster
            raise AlreadyThere(_stays(path)) from error
        except OSError as error:
            refused.append(f"{path} ({error.strerror})")
        else:
            return Initial(path, Secret(admin_key), Secret(key), MODEL)
    raise CannotWrite(f"No config could be written: {', '.join(refused)}.")


def _stays(path: Path) -> str:
    return f"{path} is there already and stays as it is."


def _make_folder(folder: Path) -> None:
    """Raises OSError, but FileExistsError never: that would be about the config itself."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR)) from error


def _places(settings: Settings) -> list[Path]:
    if settings.config_file is not None:
        return [settings.config_file]
    return [Path("config") / FILE_NAME, settings.data_dir / FILE_NAME]
