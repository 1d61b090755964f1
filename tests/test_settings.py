"""The environment, read once."""

from pathlib import Path

import pytest

from plexus_proxy.settings import SettingsError, read_settings


def test_defaults() -> None:
    settings = read_settings({})
    assert settings.port == 4000
    assert settings.host == "0.0.0.0"
    assert settings.log_level == "INFO"
    assert settings.config_file is None
    assert settings.encryption_key is None
    assert settings.database_url == f"sqlite://{Path.cwd() / 'data' / 'plexus.db'}"


def test_the_database_lives_under_the_data_folder() -> None:
    settings = read_settings({"DATA_DIR": "/srv/plexus"})
    assert settings.database_url == "sqlite:///srv/plexus/plexus.db"


def test_every_variable_is_read() -> None:
    settings = read_settings(
        {
            "CONFIG_FILE": "/etc/plexus.yaml",
            "DATABASE_URL": "postgres://h/db",
            "AUTH_JSON": "/a.json",
            "HOST": "127.0.0.1",
            "PORT": "8080",
            "LOG_LEVEL": "silly",
            "ENCRYPTION_KEY": "a passphrase",
        }
    )
    assert settings.config_file == Path("/etc/plexus.yaml")
    assert settings.database_url == "postgres://h/db"
    assert settings.auth_json == Path("/a.json")
    assert (settings.host, settings.port, settings.log_level) == ("127.0.0.1", 8080, "DEBUG")
    assert settings.encryption_key is not None
    assert "passphrase" not in repr(settings)


@pytest.mark.parametrize(
    "env", [{"PORT": "http"}, {"PORT": "70000"}, {"PORT": "-1"}, {"LOG_LEVEL": "loud"}]
)
def test_unusable_values_are_named(env: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match=next(iter(env))):
        read_settings(env)


def test_the_environment_for_the_config_is_whole_and_never_prints() -> None:
    settings = read_settings({"OPENAI_API_KEY": "a-provider-key", "PORT": "8080"})
    assert dict(settings.environment) == {"OPENAI_API_KEY": "a-provider-key", "PORT": "8080"}
    assert "a-provider-key" not in repr(settings) + str(settings.environment)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.1.2.3", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("10.0.0.5", False),
        ("example.com", False),
    ],
)
def test_which_hosts_only_this_machine_reaches(host: str, loopback: bool) -> None:
    assert read_settings({"HOST": host}).loopback is loopback
