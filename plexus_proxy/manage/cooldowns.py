"""The operator's view of cooldowns: list them, end them, take a target out."""

from collections.abc import Mapping

import msgspec
from msgspec import Struct

from plexus_proxy.config.model import Config
from plexus_proxy.errors import BadRequest, NotFound
from plexus_proxy.limits.cooldowns import Cooldown, Cooldowns

_YEAR_MINUTES = 525_600.0
MAX_MINUTES = 100 * _YEAR_MINUTES


class _Absence(Struct, frozen=True, forbid_unknown_fields=True):
    minutes: float = _YEAR_MINUTES


_ABSENCE = msgspec.json.Decoder(_Absence)


def active_cooldowns(cooldowns: Cooldowns, config: Config, now_ms: int) -> list[Cooldown]:
    """Those that keep targets from use now, the first to end in front."""
    return [
        each
        for each in cooldowns.active(now_ms)
        if (provider := config.providers.get(each.provider)) is None
        or not provider.disable_cooldown
    ]


def clear_cooldowns(cooldowns: Cooldowns, provider: str | None, query: Mapping[str, str]) -> int:
    """All, a provider's, or that of exactly one model (`?model=`); how many there were."""
    return cooldowns.clear(provider, query.get("model"))


def take_out(
    cooldowns: Cooldowns,
    config: Config,
    provider: str,
    query: Mapping[str, str],
    body: bytes,
    now_ms: int,
) -> Cooldown:
    """Leave a provider, or one of its models, alone until it is cleared or `minutes` are over.

    Raises NotFound for a provider that is not configured, BadRequest for a body that says
    something else.
    """
    if provider not in config.providers:
        raise NotFound(f"There is no provider '{provider}'.")
    try:
        minutes = _ABSENCE.decode(body).minutes if body.strip() else _YEAR_MINUTES
    except msgspec.DecodeError as error:
        raise BadRequest(f'The body must be {{"minutes": number}}: {error}.') from error
    if not 0 < minutes <= MAX_MINUTES:
        raise BadRequest("minutes must be more than 0, and at most a hundred years.")
    until_ms = now_ms + int(minutes * 60_000)
    return cooldowns.take_out(provider, query.get("model", ""), until_ms, now_ms)
