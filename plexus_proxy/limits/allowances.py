"""What providers say in the headers of their answers about what is left of an allowance.

Sources: Anthropic and OpenAI API references, "Rate limits"; the unified windows of Anthropic
subscriptions as in provider-errors.md §3 of the design notes.
"""

from collections.abc import Iterator, Mapping, Sequence

from msgspec import Struct, structs

from plexus_proxy.formats.durations import epoch_s, number_of, span_s

STALE_MS = 3_600_000
"""A provider that has not answered for so long says nothing any more."""
_UNIFIED = "anthropic-ratelimit-unified-"
_WINDOWS = ("5h", "7d")
_BUCKETS = (
    ("x-ratelimit-limit-{}", "x-ratelimit-remaining-{}", "x-ratelimit-reset-{}"),
    (
        "anthropic-ratelimit-{}-limit",
        "anthropic-ratelimit-{}-remaining",
        "anthropic-ratelimit-{}-reset",
    ),
)
_KINDS = ("requests", "tokens")
_NAMES = tuple(tuple(name.format(kind) for name in names) for names in _BUCKETS for kind in _KINDS)
_TELLING = (f"{_UNIFIED}status", *(remaining for _, remaining, _ in _NAMES))


class Allowance(Struct, frozen=True, gc=False):
    """What is left of a window."""

    share_left: float
    """0..1"""
    resets_at_ms: int
    told_ms: int

    @property
    def balance(self) -> float | None:
        """Headers tell of none."""
        return None


class Allowances:
    """The latest of each provider, as told to this process."""

    def __init__(self) -> None:
        self._told: dict[str, tuple[Mapping[str, str], int]] = {}
        """Not read yet: most answers tell of an allowance, and few requests ask for it."""
        self._known: dict[str, Sequence[Allowance]] = {}
        """Windows, that with the least left first."""

    def note(self, provider: str, headers: Mapping[str, str], now_ms: int) -> None:
        """`headers` of an answer, with lower-case names; they must not change afterwards."""
        for name in _TELLING:
            if name in headers:
                self._told[provider] = headers, now_ms
                return

    def of(self, provider: str, now_ms: int) -> Allowance | None:
        """The window with the least left now. One that has begun anew has all of it left."""
        told = self._told.pop(provider, None)
        if told is not None and (read := _allowances_in(*told)):
            self._known[provider] = read
        known = self._known.get(provider)
        if known is None or now_ms - known[0].told_ms > STALE_MS:
            return None
        for each in known:
            if each.resets_at_ms > now_ms:
                return each
        return structs.replace(known[0], share_left=1.0)


def allowance_in(headers: Mapping[str, str], now_ms: int) -> Allowance | None:
    """The window with the least left of those that the headers of an answer tell of, if they do;
    their names are lower-case."""
    return next(iter(_allowances_in(headers, now_ms)), None)


def _allowances_in(headers: Mapping[str, str], now_ms: int) -> list[Allowance]:
    return [
        Allowance(share_left, int(resets_at_s * 1000), now_ms)
        for share_left, resets_at_s in sorted(_windows(headers, now_ms / 1000))
    ]


def _windows(headers: Mapping[str, str], now_s: float) -> Iterator[tuple[float, float]]:
    """(share left, when it begins anew in epoch seconds) of each window that is told of."""
    if f"{_UNIFIED}status" in headers:
        for window in _WINDOWS:
            used = number_of(headers.get(f"{_UNIFIED}{window}-utilization"))
            resets_at = epoch_s(headers.get(f"{_UNIFIED}{window}-reset"))
            if used is not None and resets_at is not None:
                yield max(0.0, 1 - used), resets_at
    for limit_name, remaining_name, reset_name in _NAMES:
        if remaining_name not in headers:
            continue
        limit, remaining = (number_of(headers.get(n)) for n in (limit_name, remaining_name))
        reset = headers.get(reset_name, "")
        wait_s = span_s(reset)
        resets_at = now_s + wait_s if wait_s is not None else epoch_s(reset)
        if limit and remaining is not None and resets_at is not None:
            yield min(1.0, max(0.0, remaining / limit)), resets_at
