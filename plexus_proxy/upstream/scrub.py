"""A failing provider may echo our own credential: it is taken out before anyone reads it."""

import re

from plexus_proxy.config.model import Provider
from plexus_proxy.errors import PlexusError, Refused

_MASK = "***"
_AUTHORIZATION = re.compile(r"[A-Za-z-]+ +(\S+)")
"""A scheme and a token, as in `Bearer …`: the token alone is the secret."""
_MIN_CHARS = 8
"""Shorter values of configured headers are words, not secrets; masking them would spoil JSON."""


def scrub(text: bytes, provider: Provider) -> bytes:
    """`text` without the provider's credential and configured header values."""
    for secret in _secrets(provider):
        text = text.replace(secret.encode(), _MASK.encode())
    return text


def scrub_fault(fault: PlexusError, provider: Provider) -> None:
    """The same for a fault's message and body, in place."""
    for secret in _secrets(provider):
        fault.message = fault.message.replace(secret, _MASK)
    if isinstance(fault, Refused):
        fault.body = scrub(fault.body, provider)


def _secrets(provider: Provider) -> list[str]:
    configured = [*provider.headers.values(), *([provider.api_key] if provider.api_key else [])]
    revealed = [secret.reveal() for secret in configured]
    tokens = [found[1] for value in revealed if (found := _AUTHORIZATION.fullmatch(value))]
    return [value for value in (*revealed, *tokens) if len(value) >= _MIN_CHARS]
