"""The time-outs of one attempt, with every default filled in."""

from msgspec import Struct

from plexus_proxy.config.model import Config, Provider, Timeouts


class ResolvedTimeouts(Struct, frozen=True, kw_only=True):
    """Limits per phase in seconds; `Timeouts` in model.py says what each phase is."""

    connect_s: float
    write_s: float
    headers_s: float
    first_content_s: float
    idle_s: float
    total_s: float


DEFAULTS = ResolvedTimeouts(
    connect_s=5, write_s=60, headers_s=300, first_content_s=120, idle_s=120, total_s=3600
)


def general(config: Config) -> ResolvedTimeouts:
    """What holds for a provider that sets nothing itself."""
    later = config.timeout.default_seconds if config.timeout is not None else None
    return _over(config.timeouts, DEFAULTS, later)


def of_provider(provider: Provider, general: ResolvedTimeouts) -> ResolvedTimeouts:
    """The provider's own limits over the general ones."""
    later = provider.timeout_ms / 1000 if provider.timeout_ms is not None else None
    return _over(provider.timeouts, general, later)


def _over(own: Timeouts, base: ResolvedTimeouts, later_total_s: float | None) -> ResolvedTimeouts:
    """None is never 0: every limit is positive, so `or` picks the first one given."""
    return ResolvedTimeouts(
        connect_s=own.connect_s or base.connect_s,
        write_s=own.write_s or base.write_s,
        headers_s=own.headers_s or base.headers_s,
        first_content_s=own.first_content_s or base.first_content_s,
        idle_s=own.idle_s or base.idle_s,
        total_s=own.total_s or later_total_s or base.total_s,
    )
