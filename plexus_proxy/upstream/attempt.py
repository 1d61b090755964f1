"""One try at one candidate: send the request, prime the answer.

A streamed attempt is *primed* when its first frame with content has been read; a whole one when its
body has. Until then it raises the fault, and nothing has reached the client.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from msgspec import Struct

from plexus_proxy.errors import Garbled, PlexusError, Refused
from plexus_proxy.formats.conversation import Crossing, Remembered
from plexus_proxy.formats.events import Event
from plexus_proxy.formats.format import ClientFormat, Format, Observer, Relay
from plexus_proxy.formats.relay import (
    Passthrough,
    Patched,
    Replayed,
    Translation,
    events_of_stream,
    kept_of,
    native,
    patched,
    stream_of_events,
)
from plexus_proxy.formats.resume import Resumable
from plexus_proxy.limits.concurrency import Slot
from plexus_proxy.routing.aliases import Candidate
from plexus_proxy.upstream.client import Answer, OutgoingRequest, Upstream
from plexus_proxy.upstream.clock import PhaseClock
from plexus_proxy.upstream.scrub import scrub, scrub_fault
from plexus_proxy.usage.record import AttemptRecord

MAX_ANSWER_BYTES = 256 * 1024 * 1024
MAX_ERROR_BYTES = 64 * 1024
ERROR_BODY_S = 5.0
"""From the head of an error answer on."""
_MAX_REASON_CHARS = 2000
_SSE = "text/event-stream"
_OK = range(200, 300)
_BLANK = b"\xef\xbb\xbf \t\r\n"
_SSE_STARTS = (b"data:", b"event:", b"id:", b"retry:", b":")


class Attempt:
    """The record of one try. Times are of the monotonic clock."""

    __slots__ = (
        "candidate",
        "ended",
        "fault",
        "first_content",
        "headers",
        "http_status",
        "mended",
        "observer",
        "resumed",
        "slot",
        "started",
        "started_ms",
        "succeeded",
    )

    def __init__(self, candidate: Candidate, observer: Observer, slot: Slot) -> None:
        self.candidate = candidate
        self.observer = observer
        self.slot = slot
        """The place it takes at its provider, until it is over."""
        self.started = time.monotonic()
        self.started_ms = time.time_ns() // 1_000_000
        self.first_content: float | None = None
        self.ended: float | None = None
        self.http_status: int | None = None
        self.headers: Mapping[str, str] = {}
        """Of the provider's answer."""
        self.fault: PlexusError | None = None
        self.succeeded = False
        self.mended = False
        """It was sent without what the attempt before it was refused for."""
        self.resumed = False
        """It went on with the answer of the attempt before."""

    def end(self, fault: PlexusError | None) -> None:
        """The attempt is over; the first call counts."""
        if self.ended is None:
            if fault is not None:
                scrub_fault(fault, self.candidate.provider)
            self.ended = time.monotonic()
            self.fault = fault
            self.succeeded = fault is None

    def record(self) -> AttemptRecord:
        """As the usage row lists it; one that never ended was cancelled by its client."""
        ended = self.ended if self.ended is not None else time.monotonic()
        fault, first = self.fault, self.first_content
        return AttemptRecord(
            provider=self.candidate.provider_id,
            model=self.candidate.model,
            format=self.candidate.format,
            status="success" if self.succeeded else "failed" if fault else "cancelled",
            http_status=self.http_status,
            error_code=fault.code or fault.kind if fault else None,
            reason=fault.message[:_MAX_REASON_CHARS] if fault else None,
            duration_ms=round((ended - self.started) * 1000),
            resumed=self.resumed,
            ttft_ms=round((first - self.started) * 1000, 1) if first is not None else None,
        )


class Work(Struct, frozen=True, kw_only=True, gc=False):
    """What one attempt is asked to do. `client` and `provider` are the formats of both sides."""

    request: OutgoingRequest
    client: ClientFormat
    provider: Format
    crossing: Crossing
    streamed: bool
    resumes: Resumable | None = None
    """A stream that may go on elsewhere when it is cut off: the relay, in place of a new one."""
    first_bytes: int = 0
    """How much a stream must have brought to count as begun; until then nothing of it is sent."""
    patch: Callable[[bytes], bytes] | None = None
    """Of answers that need no translation: what the client gets in place of a frame or body."""

    @property
    def translated(self) -> bool:
        return self.client is not self.provider


class Whole(Struct, frozen=True, gc=False):
    """A complete answer in the client's format."""

    status: int
    headers: Mapping[str, str]
    """The provider's, unfiltered."""
    body: bytes
    remembered: Remembered | None


class Primed(Struct, frozen=True):
    """A stream past its commit point: `head` is what to send first, `answer` (None: already read
    to its end) holds the rest and must be closed."""

    headers: Mapping[str, str]
    head: bytes
    relay: Relay
    answer: Answer | None


async def run(
    work: Work, attempt: Attempt, upstream: Upstream, clock: PhaseClock
) -> Whole | Primed:
    """Raises UpstreamFault; the caller ends the attempt."""
    async with clock:
        answer = await upstream.send(work.request, clock)
        try:
            attempt.http_status = answer.status
            attempt.headers = answer.headers
            clock.enter("first_content")
            if answer.status not in _OK:
                raise await _refused(work, attempt, answer, clock)
            if not work.streamed:
                return await _whole(work, attempt, answer)
            return await _streamed(work, attempt, answer, clock)
        except BaseException:
            answer.close()
            raise


async def _refused(work: Work, attempt: Attempt, answer: Answer, clock: PhaseClock) -> Refused:
    """The status alone says enough: of the body counts what comes soon."""
    body = b""

    def take(chunk: bytes) -> bool:
        nonlocal body
        body += chunk
        return len(body) < MAX_ERROR_BYTES

    soon_s = min(ERROR_BODY_S, clock.limit_s("first_content") / 2)
    with suppress(Garbled, TimeoutError):
        async with asyncio.timeout(soon_s):
            await answer.pour(take)
    answer.close()
    body = scrub(body, attempt.candidate.provider)  # before a message is cut, perhaps in a secret
    return work.provider.read_error(answer.status, answer.headers, body[:MAX_ERROR_BYTES])


async def _whole(work: Work, attempt: Attempt, answer: Answer) -> Whole:
    body = await answer.read(MAX_ANSWER_BYTES)
    answer.close()
    if body.lstrip(_BLANK).startswith(_SSE_STARTS):
        events = events_of_stream(work.provider, work.crossing, body, attempt.observer)
        return _translated(work, events)
    text = _as_utf8(body, answer)
    attempt.observer.body(text)
    if attempt.observer.failure is not None:
        raise attempt.observer.failure
    if not work.translated:
        return Whole(answer.status, answer.headers, work.patch(body) if work.patch else body, None)
    return _translated(work, work.provider.read_response(text, work.crossing))


def _translated(work: Work, answer: Sequence[Event]) -> Whole:
    events, remembered = _kept_of(work, answer)
    body = work.client.write_response(events, work.crossing)
    if work.patch is not None and not work.translated:
        body = work.patch(body)
    return Whole(200, {"content-type": "application/json"}, body, remembered)


def _as_utf8(body: bytes, answer: Answer) -> bytes:
    """JSON is UTF-8; a provider that says or sends otherwise is read by its own word."""
    try:
        body.decode()
    except UnicodeDecodeError:
        charset = answer.headers.get("content-type", "").partition("charset=")[2].strip(' "')
        try:
            return body.decode(charset or "latin-1").encode()
        except (LookupError, UnicodeDecodeError) as error:
            raise Garbled("The provider's answer is not valid text.") from error
    return body


async def _streamed(work: Work, attempt: Attempt, answer: Answer, clock: PhaseClock) -> Primed:
    """What was sent, a stream or a whole answer, is told by its first byte: labels are wrong."""
    start = b""

    def peek(chunk: bytes) -> bool:
        nonlocal start
        start += chunk
        return not start.strip(_BLANK)

    ended = await answer.pour(peek)
    if not start.lstrip(_BLANK).startswith(b"{"):
        return await _primed(work, attempt, answer, start, clock, ended=ended)
    clock.begun()
    rest = b"" if ended else await answer.read(MAX_ANSWER_BYTES)
    answer.close()
    if work.resumes is not None and work.resumes.broken:
        raise Garbled("The provider does not stream.")
    return _stream_of_json(work, attempt, _as_utf8(start + rest, answer))


def _stream_of_json(work: Work, attempt: Attempt, text: bytes) -> Primed:
    """The client asked for a stream, the provider sent a whole answer: replay it as one."""
    attempt.observer.body(text)
    if attempt.observer.failure is not None:
        raise attempt.observer.failure
    events, remembered = _kept_of(work, work.provider.read_response(text, work.crossing))
    head, tail = stream_of_events(work.client, work.crossing, events)
    if work.patch is not None and not work.translated:
        head, tail = patched(head, work.patch), patched(tail, work.patch)
    relay = Replayed(attempt.observer, remembered, tail)
    return Primed({"content-type": _SSE}, head, relay, None)


def _kept_of(work: Work, events: Sequence[Event]) -> tuple[Sequence[Event], Remembered | None]:
    """Clients of the provider's own format send back what they saw, and see its own state."""
    return kept_of(events, work.crossing) if work.translated else (native(events), None)


def _relay(work: Work) -> Relay:
    if work.translated:
        return Translation(work.provider, work.client, work.crossing)
    if work.patch is not None:
        return Patched(work.provider, work.crossing, work.patch)
    return Passthrough(work.provider, work.crossing)


async def _primed(
    work: Work, attempt: Attempt, answer: Answer, start: bytes, clock: PhaseClock, *, ended: bool
) -> Primed:
    """`start` is what was read already; `ended` says that it was all. An answer that turns out to
    be empty is read to its end, so that it may still be left for another."""
    relay = work.resumes or _relay(work)
    observer = attempt.observer = relay.observer
    head: list[bytes] = []
    seen = 0

    def prime(chunk: bytes) -> bool:
        nonlocal seen
        seen += len(chunk)
        if seen >= work.first_bytes:
            clock.begun()
        head.append(relay.feed(chunk))
        if relay.fault is not None or relay.cut:
            return False
        if seen < work.first_bytes or not relay.committed:
            return True
        return observer.empty and not observer.ended

    if prime(start) and not ended:
        ended = await answer.pour(prime)
    ended = ended or relay.cut or (observer.empty and observer.ended)
    if ended and relay.fault is None:
        head.append(relay.close())
    if relay.fault is not None and not relay.committed:
        raise relay.fault
    if ended or relay.fault is not None:
        answer.close()
        told = b"".join(head)
        if relay.fault is not None:
            told = scrub(told, attempt.candidate.provider)
        return Primed(answer.headers, told, relay, None)
    return Primed(answer.headers, b"".join(head), relay, answer)
