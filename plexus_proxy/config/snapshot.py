"""A config in force, with the look-ups a request needs. Immutable; a reload makes a new one."""

import time
from collections.abc import Mapping

from msgspec import Struct

from plexus_proxy.config import stalls
from plexus_proxy.config.model import Config, Key, Provider
from plexus_proxy.config.names import alias_names, group_names
from plexus_proxy.config.timeouts import ResolvedTimeouts, general, of_provider
from plexus_proxy.crypto import digest

_DIGEST_CHARS = 12


class Snapshot(Struct, frozen=True, kw_only=True):
    """One request works on one snapshot from beginning to end."""

    config: Config
    alias_names: Mapping[str, str]
    """Every name a client may ask for → the primary name of its alias."""
    group_names: Mapping[str, tuple[str, int]]
    """`<name>/<group>` → the primary name of its alias, and which of its groups."""
    key_names: Mapping[bytes, str]
    """SHA-256 digest of a key's secret → the key's name."""
    admin_digest: bytes
    general_timeouts: ResolvedTimeouts
    general_stall: stalls.ResolvedStall
    made_s: int
    """When it came into force; Unix time."""
    text_digest: str = ""
    """Short; equal for processes that read the same text."""

    def timeouts(self, provider: Provider) -> ResolvedTimeouts:
        """The limits of an attempt at `provider`."""
        return of_provider(provider, self.general_timeouts)

    def stalls(self, provider: Provider) -> stalls.ResolvedStall:
        """When a stream of `provider` counts as stalled."""
        return stalls.of_provider(provider, self.general_stall)

    def __repr__(self) -> str:
        config = self.config
        return (
            f"Snapshot({len(config.providers)} providers, {len(config.models)} models,"
            f" {len(config.keys)} keys)"
        )


def snapshot_of(config: Config, text: str = "") -> Snapshot:
    names = alias_names(config.models)
    return Snapshot(
        config=config,
        alias_names=names,
        group_names=group_names(config.models, names),
        key_names=_key_names(config.keys),
        admin_digest=digest(config.admin_key.reveal()),
        general_timeouts=general(config),
        general_stall=stalls.general(config),
        made_s=int(time.time()),
        text_digest=digest(text).hex()[:_DIGEST_CHARS],
    )


def _key_names(keys: Mapping[str, Key]) -> dict[bytes, str]:
    """Of two keys with the same secret the first in the file wins."""
    names: dict[bytes, str] = {}
    for name, key in keys.items():
        names.setdefault(digest(key.secret.reveal()), name)
    return names
