"""Headers for a Messages provider. Source: Anthropic API reference, "Versions", "Beta headers"."""

import re
from collections.abc import Mapping

from plexus_proxy.crypto import Secret
from plexus_proxy.formats.headers import affinity

DEFAULT_VERSION = "2023-06-01"

_VERSION = re.compile(r"[0-9A-Za-z.-]{1,32}")
_BETA = re.compile(r"[0-9A-Za-z._-]{1,128}")


def provider_headers(secret: Secret | None, client_headers: Mapping[str, str]) -> dict[str, str]:
    """See Format.provider_headers. A client's version and beta flags are its own choice."""
    headers = affinity(client_headers)
    version = client_headers.get("anthropic-version", "").strip()
    headers["anthropic-version"] = version if _VERSION.fullmatch(version) else DEFAULT_VERSION
    if flags := _beta_flags(client_headers.get("anthropic-beta", "")):
        headers["anthropic-beta"] = ",".join(flags)
    if secret:
        headers["x-api-key"] = secret.reveal()
    return headers


def _beta_flags(value: str) -> list[str]:
    """The flags of a comma list, each once, in order."""
    flags = (each.strip() for each in value.split(","))
    return list(dict.fromkeys(flag for flag in flags if _BETA.fullmatch(flag)))
