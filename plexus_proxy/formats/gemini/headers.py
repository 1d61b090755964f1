"""Headers for a Gemini provider. Source: Gemini API reference, "Authentication"."""

from collections.abc import Mapping

from plexus_proxy.crypto import Secret
from plexus_proxy.formats.headers import affinity


def provider_headers(secret: Secret | None, client_headers: Mapping[str, str]) -> dict[str, str]:
    """See Format.provider_headers."""
    headers = affinity(client_headers)
    if secret:
        headers["x-goog-api-key"] = secret.reveal()
    return headers
