"""Which of a client's headers may reach a provider. Everything else stays behind."""

import re
from collections.abc import Mapping

_AFFINITY = (
    "session_id",
    "session-id",
    "x-client-request-id",
    "x-session-affinity",
    "x-session-id",
    "x-prompt-cache-isolation-key",
    "x-multi-turn-session-id",
)
"""Hints that keep a conversation on the machine that has its prompt cached."""

_VALUE = re.compile(r"[\x20-\x7e]{1,1024}")


def affinity(client_headers: Mapping[str, str]) -> dict[str, str]:
    """The client's cache-affinity headers, as far as their values are plain text."""
    found: dict[str, str] = {}
    for name in _AFFINITY:
        value = client_headers.get(name)
        if value is not None and _VALUE.fullmatch(value := value.strip()):
            found[name] = value
    return found
