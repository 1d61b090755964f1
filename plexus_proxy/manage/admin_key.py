"""Who is the operator: the holder of the config's adminKey."""

import hmac

from plexus_proxy.crypto import digest


def is_admin_key(presented: str | None, admin_digest: bytes) -> bool:
    """Digests are compared, in constant time, so that neither length nor prefix shows."""
    return presented is not None and hmac.compare_digest(digest(presented), admin_digest)
