"""Counting tokens: the provider's own count where it offers one, else ours.

The same way as an inference request (key, body, model, target, errors in the client's format), but
it leaves no usage row: nothing is generated and nothing is billed. A provider is asked if the
format it is spoken to in has a count, with the client's own body if that is the client's format
too; not while it cools down. Whatever goes wrong there leads to our own count, except that a
provider of the client's format which finds the request itself wrong is quoted. One without a count
is not asked again for a while.
"""

import asyncio
import logging
import time
from collections.abc import Mapping
from random import Random

from aiohttp import web
from msgspec import Struct, structs

from plexus_proxy.adapters.registry import adapted
from plexus_proxy.config.snapshot import Snapshot
from plexus_proxy.config.store import ConfigStore
from plexus_proxy.config.timeouts import ResolvedTimeouts
from plexus_proxy.errors import Kind, PlexusError, Refused, UpstreamFault
from plexus_proxy.formats.anchors import unmarked
from plexus_proxy.formats.conversation import Conversation, Crossing
from plexus_proxy.formats.format import Asked, Call, Format, TokenCount
from plexus_proxy.gateway.auth import Caller, authenticate
from plexus_proxy.gateway.body import read_json_body
from plexus_proxy.gateway.headers import from_client, from_provider
from plexus_proxy.gateway.replies import error_response, request_id_of
from plexus_proxy.routing.access import DEMO_SCHEME
from plexus_proxy.routing.aliases import Candidate
from plexus_proxy.routing.router import Router, View
from plexus_proxy.tokens.counter import CannotCount, TokenCounter
from plexus_proxy.tokens.factors import Factors, Likeness, estimate
from plexus_proxy.tokens.pictures import family_of
from plexus_proxy.tokens.structure import outline
from plexus_proxy.upstream.client import OutgoingRequest, Upstream
from plexus_proxy.upstream.clock import PhaseClock
from plexus_proxy.upstream.request import outgoing
from plexus_proxy.upstream.scrub import scrub_fault
from plexus_proxy.usage.estimate import estimate_tokens
from plexus_proxy.usage.record import UsageRow

LIMIT_S = 10.0
"""A client asks for a count before each of its turns: it waits no longer for a provider's."""
ABSENT_S = 600.0
_MAX_ABSENT = 1024
_MAX_ANSWER_BYTES = 1024 * 1024
_ABSENT_STATUSES = (404, 405, 501)
_OK = range(200, 300)
_CLIENTS_FAULT: tuple[Kind, ...] = ("bad_request", "context_too_long", "too_large")

_log = logging.getLogger(__name__)


class Counting:
    """Serves the counting path of each format that has one. Holds nothing of a request."""

    def __init__(
        self,
        config: ConfigStore,
        upstream: Upstream,
        counter: TokenCounter,
        formats: Mapping[str, Format],
        router: Router,
        view: View,
        random: Random,
    ) -> None:
        self._config = config
        self._upstream = upstream
        self._counter = counter
        self._formats = formats
        self._router = router
        self._view = view
        self._random = random
        self._factors = Factors()
        self._absent: dict[tuple[str, str, str], float] = {}
        """(provider, model, format) without a count → until when that is believed."""

    async def serve(self, request: web.Request, fmt: Format, asked: Asked) -> web.Response:
        """`fmt` has a TokenCount."""
        request_id = request_id_of(request)
        try:
            return await self._counted(request, request_id, fmt, asked)
        except _Quoted as quoted:
            return error_response(fmt, quoted.refusal, request_id, same_format=True)
        except PlexusError as error:
            return error_response(fmt, error, request_id)
        except Exception:
            _log.exception("request %s failed", request_id)
            return error_response(fmt, PlexusError("Internal error."), request_id)

    async def _counted(
        self, request: web.Request, request_id: str, fmt: Format, asked: Asked
    ) -> web.Response:
        assert fmt.token_count is not None
        snapshot = self._config.current
        caller = authenticate(request.headers, request.query, snapshot)
        body = await read_json_body(request, snapshot.config.limits)
        call = fmt.read_call(fmt.token_count.read(body), asked)
        route = self._router.route(call.model, fmt.name, "text", snapshot, self._view, self._random)
        first = (route.candidates or route.cooling)[0]
        work = _Work(body, call, fmt, first, request_id)
        headers = from_client(request.headers)
        answer = await self._forwarded(work, headers, snapshot) if route.candidates else None
        if answer is None:
            tokens = await self._estimated(work, caller)
            answer = _json(fmt.token_count.write_answer(tokens))
        return answer

    async def _forwarded(
        self, work: "_Work", headers: Mapping[str, str], snapshot: Snapshot
    ) -> web.Response | None:
        """The provider's own count; None if there is none to be had. Raises _Quoted."""
        candidate = work.candidate
        provider = self._formats[candidate.format]
        count = provider.token_count
        if count is None or candidate.base_url.startswith(DEMO_SCHEME) or self._lacks(candidate):
            return None
        try:
            request = _outgoing(work, provider, count, headers)
            status, said, body = await self._asked(
                request, _hasty(snapshot.timeouts(candidate.provider))
            )
            if status not in _OK:
                raise provider.read_error(status, said, body)
            tokens = count.read_answer(body)
        except UpstreamFault as fault:
            self._note(fault, work, quotable=provider is work.client)
            return None
        if provider is work.client:
            return _json(body, from_provider(said))
        assert work.client.token_count is not None
        return _json(work.client.token_count.write_answer(tokens))

    async def _asked(
        self, request: OutgoingRequest, limits: ResolvedTimeouts
    ) -> tuple[int, Mapping[str, str], bytes]:
        """Status, headers and body. Raises UpstreamFault."""
        clock = PhaseClock(limits, asyncio.get_running_loop().time())
        async with clock:
            answer = await self._upstream.send(request, clock)
            try:
                clock.enter("first_content")
                return answer.status, answer.headers, await answer.read(_MAX_ANSWER_BYTES)
            finally:
                answer.close()

    def _note(self, fault: UpstreamFault, work: "_Work", *, quotable: bool) -> None:
        """A provider did not count. Raises _Quoted if the request itself is why."""
        scrub_fault(fault, work.candidate.provider)
        if isinstance(fault, Refused):
            if fault.upstream_status in _ABSENT_STATUSES:
                self._miss(work.candidate)
            elif quotable and fault.kind in _CLIENTS_FAULT:
                raise _Quoted(fault)
        _log.debug("request %s: the provider did not count: %s", work.request_id, fault.kind)

    def _lacks(self, candidate: Candidate) -> bool:
        return time.monotonic() < self._absent.get(_place(candidate), 0)

    def _miss(self, candidate: Candidate) -> None:
        self._absent.pop(_place(candidate), None)
        self._absent[_place(candidate)] = time.monotonic() + ABSENT_S
        if len(self._absent) > _MAX_ABSENT:
            del self._absent[next(iter(self._absent))]

    async def _estimated(self, work: "_Work", caller: Caller) -> int:
        """Our own count, corrected by what was learned of the model. Raises TooLarge."""
        call, candidate = work.call, work.candidate
        family = family_of(candidate.format, candidate.model)
        found = outline(work.conversation(), family, candidate.model)
        try:
            text_tokens = await self._counter.count(found.texts)
        except CannotCount as error:
            _log.warning("tokens are guessed from characters: %s", error)
            return estimate_tokens(found.chars) + found.fixed
        factor = self._factors.of(candidate.provider_id, candidate.model, family)
        told = estimate(text_tokens, found.fixed, factor)
        likeness = Likeness(
            key_name=caller.key_name,
            provider=candidate.provider_id,
            model=candidate.model,
            messages=call.message_count,
            tools=call.tool_count,
        )
        self._factors.asked(likeness, text_tokens, found.fixed, time.monotonic())
        _log.debug(
            "request %s: %d tokens (%d to %d): text %d x %.3f (deviation %.3f, samples %d) + %d",
            work.request_id,
            told.tokens,
            told.low,
            told.high,
            text_tokens,
            factor.value,
            factor.deviation,
            factor.samples,
            found.fixed,
        )
        return told.tokens

    def learn(self, row: UsageRow) -> None:
        """Compare what a provider says of a finished request with what we had counted of it."""
        if not self._factors.waiting or row.status != "success" or row.tokens_estimated:
            return
        if row.provider is None or row.model is None:
            return
        likeness = Likeness(
            key_name=row.key_name,
            provider=row.provider,
            model=row.model,
            messages=row.message_count,
            tools=row.tools_defined,
        )
        tokens = row.input_tokens + row.cache_read_tokens + row.cache_write_tokens
        self._factors.seen(likeness, tokens, time.monotonic())


class _Quoted(Exception):
    """The provider finds the client's request wrong, in the client's own format."""

    def __init__(self, refusal: Refused) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


class _Work(Struct, frozen=True, gc=False):
    """One count: the client's body, the request it asks about, and where that would go."""

    body: bytes
    call: Call
    client: Format
    candidate: Candidate
    request_id: str

    def conversation(self) -> Conversation:
        """Raises BadRequest."""
        read = self.client.read_request(self.call.body, Asked(self.call.model))
        conversation, _ = unmarked(read)
        return conversation


def _outgoing(
    work: _Work, provider: Format, count: TokenCount, headers: Mapping[str, str]
) -> OutgoingRequest:
    """The request to the provider. Configured extra fields stay out: a count takes few."""
    candidate = work.candidate
    own = work.client is provider
    if own:
        request = provider.splice(work.call, candidate.model, {})
        body = count.forward(work.body, _patched(request, candidate), candidate.model)
    else:
        crossing = Crossing(
            provider=candidate.provider_id,
            model=candidate.model,
            response_id=work.request_id.removeprefix("req_"),
            created_s=int(time.time()),
        )
        request = provider.write_request(work.conversation(), crossing)
        body = count.write(_patched(request, candidate), candidate.model)
    sent = outgoing(
        candidate,
        provider,
        candidate.base_url,
        body,
        streamed=False,
        client_headers=headers if own else {},
    )
    return structs.replace(sent, url=count.url(sent.url))


def _patched(body: bytes, candidate: Candidate) -> bytes:
    return adapted(body, candidate.adapters) if candidate.adapters else body


def _hasty(limits: ResolvedTimeouts) -> ResolvedTimeouts:
    return ResolvedTimeouts(
        **{name: min(limit, LIMIT_S) for name, limit in structs.asdict(limits).items()}
    )


def _place(candidate: Candidate) -> tuple[str, str, str]:
    return candidate.provider_id, candidate.model, candidate.format


def _json(body: bytes, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.Response(body=body, headers={**(headers or {}), "content-type": "application/json"})
