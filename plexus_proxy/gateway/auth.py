"""Who is asking: the credential of a request → the name of a configured key. Pure.

Source: behaviour reference §1.2. Credential sources, first hit wins: Authorization (with or without
`Bearer`), x-api-key, x-goog-api-key, `?key=`. The value is `secret[:attribution]`.
"""

from collections.abc import Mapping

from msgspec import Struct

from plexus_proxy.config.snapshot import Snapshot
from plexus_proxy.crypto import Secret, digest
from plexus_proxy.errors import Unauthenticated

_BEARER = "bearer "


class Caller(Struct, frozen=True, gc=False):
    """An authenticated client."""

    key_name: str
    attribution: str | None

    @property
    def owner(self) -> str:
        """Whose conversations are told apart: people may share a key by attribution."""
        return f"{self.key_name}:{self.attribution}" if self.attribution else self.key_name


def authenticate(
    headers: Mapping[str, str], query: Mapping[str, str], snapshot: Snapshot
) -> Caller:
    """Raises Unauthenticated."""
    credential = _credential(headers, query)
    secret, _, attribution = credential.partition(":")
    if not secret:
        raise Unauthenticated
    # A look-up by digest costs the same for 1 and 20,000 keys and tells nothing by its timing:
    # nobody can choose a secret so that its SHA-256 shares a prefix with another's. Secrets compare
    # in constant time.
    name = snapshot.key_names.get(digest(secret))
    if name is None or snapshot.config.keys[name].secret != Secret(secret):
        raise Unauthenticated
    return Caller(name, attribution.lower() or None)


def _credential(headers: Mapping[str, str], query: Mapping[str, str]) -> str:
    authorization = headers.get("Authorization")
    if authorization:
        if authorization[: len(_BEARER)].lower() == _BEARER:
            return authorization[len(_BEARER) :].strip()
        return authorization.strip()
    return (
        headers.get("x-api-key") or headers.get("x-goog-api-key") or query.get("key") or ""
    ).strip()
