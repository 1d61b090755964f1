"""When a stream of a provider counts as stalled, with every default filled in."""

from msgspec import UNSET, Struct

from plexus_proxy.config.model import Config, Provider


class ResolvedStall(Struct, frozen=True, kw_only=True, gc=False):
    """`Stall` in model.py says what each field is; None: off."""

    ttfb_s: float | None
    ttfb_bytes: int
    min_bytes_per_s: float | None
    window_s: float
    grace_s: float
    cooldown: bool


def general(config: Config) -> ResolvedStall:
    """What holds for a provider that sets nothing itself."""
    stall = config.stall
    return ResolvedStall(
        ttfb_s=stall.ttfb_s,
        ttfb_bytes=stall.ttfb_bytes,
        min_bytes_per_s=stall.min_bytes_per_s,
        window_s=stall.window_s,
        grace_s=stall.grace_s,
        cooldown=stall.cooldown,
    )


def of_provider(provider: Provider, general: ResolvedStall) -> ResolvedStall:
    """The provider's own settings over the general ones; its null turns a threshold off."""
    ttfb_ms, pace = provider.stall_ttfb_ms, provider.stall_min_bytes_per_s
    window_ms, grace_ms = provider.stall_window_ms, provider.stall_grace_ms
    return ResolvedStall(
        ttfb_s=general.ttfb_s if ttfb_ms is UNSET else ttfb_ms and ttfb_ms / 1000,
        ttfb_bytes=provider.stall_ttfb_bytes or general.ttfb_bytes,
        min_bytes_per_s=general.min_bytes_per_s if pace is UNSET else pace,
        window_s=general.window_s if window_ms is None else window_ms / 1000,
        grace_s=general.grace_s if grace_ms is None else grace_ms / 1000,
        cooldown=(general.cooldown if provider.stall_cooldown is None else provider.stall_cooldown),
    )
