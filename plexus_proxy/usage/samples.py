"""What a finished request says about the target that served it. Pure."""

from collections.abc import Iterable

from msgspec import Struct

from plexus_proxy.config.model import TargetKey
from plexus_proxy.usage.record import UsageRow

HOUR_MS = 3_600_000
_MOST_TOKENS = 2**40  # in one request: sums must stay far below 64 bits


class Sample(Struct, frozen=True, kw_only=True, gc=False):
    """How fast a target served one request. None: not known."""

    request_id: str
    provider: str
    model: str
    at_ms: int
    """When the request ended."""
    ttft_ms: float | None = None
    """From the start of the attempt to its first content; streams only."""
    tokens_per_s: float | None = None
    """While it generated: a stream's time to the first content does not count."""
    e2e_tokens_per_s: float | None = None
    """Over the whole attempt."""


class Sums(Struct, gc=False):
    """Of some requests. The four kinds of tokens are disjoint; reasoning is output."""

    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0

    def add(self, row: UsageRow) -> None:
        self.requests += 1
        self.input_tokens += _bounded(row.input_tokens)
        self.output_tokens += _bounded(row.output_tokens + row.reasoning_tokens)
        self.cache_read_tokens += _bounded(row.cache_read_tokens)
        self.cache_write_tokens += _bounded(row.cache_write_tokens)

    def take(self, row: UsageRow) -> None:
        """The opposite of `add`; a row that was never added leaves nothing negative."""
        one = Sums()
        one.add(row)
        self.requests = max(0, self.requests - 1)
        self.input_tokens = max(0, self.input_tokens - one.input_tokens)
        self.output_tokens = max(0, self.output_tokens - one.output_tokens)
        self.cache_read_tokens = max(0, self.cache_read_tokens - one.cache_read_tokens)
        self.cache_write_tokens = max(0, self.cache_write_tokens - one.cache_write_tokens)


TrafficKey = tuple[int, str, str, str]
"""The start of an hour, alias, provider, model."""


def target_of(row: UsageRow) -> TargetKey | None:
    """The target that served the request, or was the last to fail it."""
    return None if row.provider is None or row.model is None else (row.provider, row.model)


def sample_of(row: UsageRow) -> Sample | None:
    """None unless the last attempt succeeded. Estimated tokens say nothing of speed."""
    last = row.attempts[-1] if row.attempts else None
    if last is None or last.status != "success" or row.status != "success":
        return None
    ttft_ms = last.ttft_ms if row.streamed else None
    whole_ms = last.duration_ms
    generating_ms = whole_ms
    if row.streamed and whole_ms is not None:
        generating_ms = None if ttft_ms is None else whole_ms - ttft_ms
    tokens = 0 if row.tokens_estimated else row.output_tokens + row.reasoning_tokens
    return Sample(
        request_id=row.request_id,
        provider=last.provider,
        model=last.model,
        at_ms=row.started_at_ms + row.duration_ms,
        ttft_ms=ttft_ms,
        tokens_per_s=_per_s(tokens, generating_ms),
        e2e_tokens_per_s=_per_s(tokens, whole_ms),
    )


def traffic_of(rows: Iterable[UsageRow]) -> dict[TrafficKey, Sums]:
    """Sums by hour, alias and target, in the order of the keys; requests without a target, which
    were refused before, are not traffic."""
    found: dict[TrafficKey, Sums] = {}
    for row in rows:
        target = target_of(row)
        if target is not None:
            hour_ms = row.started_at_ms - row.started_at_ms % HOUR_MS
            key = (hour_ms, row.canonical_model or "", *target)
            found.setdefault(key, Sums()).add(row)
    return dict(sorted(found.items()))


def _bounded(tokens: int) -> int:
    return max(0, min(tokens, _MOST_TOKENS))


def _per_s(tokens: int, duration_ms: float | None) -> float | None:
    if tokens <= 0 or duration_ms is None or duration_ms <= 0:
        return None
    return tokens * 1000 / duration_ms
