"""Failures to start that an operator can mend: one line each, no traceback."""

from plexus_proxy.config.store import UnusableConfig
from plexus_proxy.db.database import SchemaTooNew, Unavailable, WrongUrl
from plexus_proxy.server.listen import CannotListen
from plexus_proxy.settings import SettingsError

EXPECTED = (SettingsError, UnusableConfig, CannotListen, SchemaTooNew, WrongUrl, Unavailable)
"""Their messages are written for people and hold no secret."""
