"""Exchange: one client request and its reply, and everything that happened in between."""

import random
import time
from collections.abc import Mapping

from msgspec import Struct, structs

from plexus_proxy.config.model import TargetKey
from plexus_proxy.errors import AllAttemptsFailed, PlexusError, Stalled, TimedOut
from plexus_proxy.formats.events import Usage
from plexus_proxy.formats.format import Call, Observer
from plexus_proxy.gateway.auth import Caller
from plexus_proxy.routing.aliases import Candidate
from plexus_proxy.routing.router import Route
from plexus_proxy.upstream.attempt import Attempt
from plexus_proxy.usage.estimate import estimate_tokens
from plexus_proxy.usage.pricing import price
from plexus_proxy.usage.record import AttemptRecord, Cost, Status, UsageRow

CLIENT_CLOSED_REQUEST = 499
_MAX_HEADER_TEXT = 255
_MAX_ERROR_TEXT = 2000
_MAX_SKIPPED = 20
FULL = "full"
"""Why a target at its `maxConcurrency` is left out."""


class Skipped(Struct, frozen=True, gc=False):
    """A candidate that was left out, after so many attempts."""

    candidate: Candidate
    reason: str
    after: int

    def record(self) -> AttemptRecord:
        return AttemptRecord(
            provider=self.candidate.provider_id,
            model=self.candidate.model,
            format=self.candidate.format,
            status="skipped",
            reason=self.reason,
        )


class Exchange:
    """Mutable, one per client request; becomes a usage row at the end."""

    __slots__ = (
        "_started",
        "_started_at_ms",
        "_waiting_since",
        "answered",
        "attempts",
        "call",
        "caller",
        "client_format",
        "client_request_id",
        "client_session",
        "cut",
        "dropped",
        "error",
        "first_content",
        "full_targets",
        "http_status",
        "may_resume",
        "request_id",
        "route",
        "skipped",
        "source_ip",
    )

    def __init__(
        self, client_format: str, request_id: str, headers: Mapping[str, str], peer: str | None
    ) -> None:
        self._started = self._waiting_since = time.monotonic()
        self._started_at_ms = time.time_ns() // 1_000_000
        self.client_format = client_format
        self.request_id = request_id
        self.client_request_id = _client_request_id(headers)
        self.client_session = _client_session(headers)
        self.source_ip = client_ip(headers, peer)
        self.caller: Caller | None = None
        self.call: Call | None = None
        self.route: Route | None = None
        self.attempts: list[Attempt] = []
        self.may_resume = False
        """Its stream, if it is cut off, may go on at another target."""
        self.cut: list[Attempt] = []
        """Those whose unfinished answers the client has got the beginning of."""
        self.answered: Attempt | None = None
        """The one whose answer the client gets."""
        self.skipped: list[Skipped] = []
        self.full_targets: set[TargetKey] = set()
        """Those that had no room for it."""
        self.dropped: list[str] = []
        self.error: PlexusError | None = None
        self.http_status: int | None = None
        """What the client was told; None while nothing was sent."""
        self.first_content: float | None = None

    @property
    def waiting_s(self) -> float:
        """How long the client has been waiting for an answer, or for the rest of one."""
        return time.monotonic() - self._waiting_since

    def wait_again(self) -> None:
        """The answer was cut off."""
        self._waiting_since = time.monotonic()

    def note_first_content(self) -> float:
        """It has come now. The first one counts; returns the time."""
        now = time.monotonic()
        if self.first_content is None:
            self.first_content = now
        return now

    def skip(self, candidate: Candidate, reason: str) -> None:
        """A candidate was left out. The row names only so many, however many there were."""
        if reason == FULL:
            self.full_targets.add(candidate.key)
        if len(self.skipped) < _MAX_SKIPPED:
            self.skipped.append(Skipped(candidate, reason, len(self.attempts)))

    def row(self, *, cancelled: bool) -> UsageRow | None:
        """The usage row; None for a caller we do not know (nothing is written for those)."""
        caller, call = self.caller, self.call
        if caller is None:
            return None
        ended = time.monotonic()
        attempt = self.answered or (self.attempts[-1] if self.attempts else None)
        candidate = attempt.candidate if attempt else None
        observer = attempt.observer if attempt else None
        error = self.error
        usage, estimated = _usage(observer, call, answered=self.first_content is not None)
        for attempt in self.cut:
            beginning, _ = _usage(attempt.observer, call, answered=True)
            usage, estimated = _sum(usage, beginning), True
        generated_s = ended - (self.first_content or ended)
        if call is None or not call.stream:
            generated_s = ended - self._started
        return UsageRow(
            request_id=self.request_id,
            client_request_id=self.client_request_id,
            client_session=self.client_session or (call.session if call else None),
            started_at_ms=self._started_at_ms,
            duration_ms=round((ended - self._started) * 1000),
            ttft_ms=(
                round((self.first_content - self._started) * 1000, 1)
                if self.first_content is not None
                else None
            ),
            tokens_per_s=(
                round(usage.completion_tokens / generated_s, 2)
                if usage.completion_tokens and generated_s > 0
                else None
            ),
            key_name=caller.key_name,
            attribution=caller.attribution,
            source_ip=self.source_ip,
            client_format=self.client_format,
            provider_format=candidate.format if candidate else None,
            provider=candidate.provider_id if candidate else None,
            alias=call.model if call else None,
            canonical_model=self.route.canonical_model if self.route else None,
            model=candidate.model if candidate else None,
            streamed=call.stream if call else False,
            passthrough=candidate is not None and candidate.format == self.client_format,
            status=_status(error, cancelled),
            http_status=CLIENT_CLOSED_REQUEST if cancelled else self.http_status or 500,
            error_code="client_disconnected" if cancelled else _code(error),
            error_message=error.message[:_MAX_ERROR_TEXT] if error else None,
            finish_reason=observer.finish_reason if observer else None,
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
            reasoning_tokens=usage.reasoning_tokens,
            cache_read_tokens=usage.cache_read_tokens,
            cache_write_tokens=usage.cache_write_tokens,
            tokens_estimated=estimated,
            cost=(
                price(
                    usage,
                    candidate.pricing,
                    discount=candidate.provider.discount,
                    succeeded=error is None and not cancelled,
                )
                if candidate
                else Cost()
            ),
            tools_defined=call.tool_count if call else 0,
            tool_calls=observer.tool_calls if observer else 0,
            message_count=call.message_count if call else 0,
            parallel_tool_calls=call.parallel_tool_calls if call else None,
            attempts=self._records(),
            dropped_fields=tuple(self.dropped),
        )

    def _records(self) -> tuple[AttemptRecord, ...]:
        """What was tried and what was left out, in the order of time."""
        records = [tried.record() for tried in self.attempts]
        for skipped in reversed(self.skipped):
            records.insert(skipped.after, skipped.record())
        return tuple(records)


def new_request_id() -> str:
    """Hex of 48 bits of time (ms) and 80 random ones, as in a UUIDv7 (RFC 9562 §5.7): ids that rise
    with time keep a large index cheap to write. An identifier, not a secret."""
    return f"req_{time.time_ns() // 1_000_000:012x}{random.getrandbits(80):020x}"


_NOTHING = Usage()


def _usage(observer: Observer | None, call: Call | None, *, answered: bool) -> tuple[Usage, bool]:
    """The upstream's numbers, or what can be estimated of an answer that never stated them.

    An answer cut short (client gone, connection lost) states its prompt but not its output.
    """
    if observer is None or call is None:
        return _NOTHING, False
    usage = observer.usage
    if usage is not None and observer.complete:
        return usage, False
    if not answered:
        return usage or _NOTHING, False
    base = usage or Usage(input_tokens=estimate_tokens(len(call.body)))
    output = max(base.completion_tokens, estimate_tokens(observer.output_chars))
    return (
        Usage(
            input_tokens=base.input_tokens,
            cache_read_tokens=base.cache_read_tokens,
            cache_write_tokens=base.cache_write_tokens,
            output_tokens=max(0, output - base.reasoning_tokens),
            reasoning_tokens=base.reasoning_tokens,
        ),
        True,
    )


def _sum(one: Usage, other: Usage) -> Usage:
    pairs = zip(structs.astuple(one), structs.astuple(other), strict=True)
    return Usage(*(a + b for a, b in pairs))


def _status(error: PlexusError | None, cancelled: bool) -> Status:
    if cancelled:
        return "cancelled"
    if error is None:
        return "success"
    if isinstance(error, AllAttemptsFailed):
        error = error.last
    if isinstance(error, Stalled):
        return "stall"
    return "timeout" if isinstance(error, TimedOut) else "error"


def _code(error: PlexusError | None) -> str | None:
    return None if error is None else error.code or error.kind


def _client_request_id(headers: Mapping[str, str]) -> str | None:
    """The client's own id; source: behaviour reference App. C (trimmed, at most 255 characters)."""
    text = headers.get("x-client-request-id") or headers.get("x-request-id")
    return text.strip()[:_MAX_HEADER_TEXT] or None if text else None


_SESSION_HEADERS = (
    "x-claude-code-session-id",
    "session_id",
    "session-id",
    "x-session-id",
    "x-session-affinity",
    "x-multi-turn-session-id",
)


def _client_session(headers: Mapping[str, str]) -> str | None:
    for name in _SESSION_HEADERS:
        if text := headers.get(name):
            return text.strip()[:_MAX_HEADER_TEXT] or None
    return None


_IP_HEADERS = (
    "cf-connecting-ip",
    "true-client-ip",
    "x-real-ip",
    "x-forwarded-for",
    "x-client-ip",
    "fastly-client-ip",
    "x-cluster-client-ip",
)
_MAX_IP_TEXT = 45


def client_ip(headers: Mapping[str, str], peer: str | None) -> str | None:
    """Where the request says it comes from; for the row only, nothing is ever granted by it.

    Source: behaviour reference §3.13, the order of proxy headers, then RFC 7239, then the socket.
    """
    for name in _IP_HEADERS:
        if text := headers.get(name):
            return text.partition(",")[0].strip()[:_MAX_IP_TEXT] or peer
    if forwarded := headers.get("forwarded"):
        for field in forwarded.partition(",")[0].split(";"):
            name, _, value = field.strip().partition("=")
            if name.lower() == "for":
                return value.strip('"')[:_MAX_IP_TEXT] or peer
    return peer
