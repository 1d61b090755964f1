"""Candidates → a primed reply: the loop that tries them one by one.

Until an attempt is primed every fault may become a retry at the next candidate; after it the pump
tells the client in-band. Nothing else in the code asks whether headers have been sent.
"""

import asyncio
import time
from collections.abc import Callable, Mapping

from msgspec import Struct, structs

from plexus_proxy.adapters.registry import adapted, answer_patch
from plexus_proxy.adapters.repair import repaired
from plexus_proxy.config.model import Egress
from plexus_proxy.config.snapshot import Snapshot
from plexus_proxy.egress import fetch
from plexus_proxy.errors import PlexusError, Refused, UpstreamFault
from plexus_proxy.formats.anchors import unmarked
from plexus_proxy.formats.conversation import Conversation, Crossing
from plexus_proxy.formats.format import Asked, Call, ClientFormat, Format
from plexus_proxy.formats.remote import content_of, remote_urls, with_fetched
from plexus_proxy.gateway.exchange import Exchange
from plexus_proxy.gateway.headers import with_session
from plexus_proxy.routing.access import DEMO_SCHEME
from plexus_proxy.routing.aliases import Candidate
from plexus_proxy.routing.router import Route
from plexus_proxy.upstream.attempt import Attempt, Primed, Whole, Work, run
from plexus_proxy.upstream.client import Upstream
from plexus_proxy.upstream.clock import PhaseClock
from plexus_proxy.upstream.request import outgoing
from plexus_proxy.usage.estimate import estimate_tokens
from plexus_proxy.vault.reasoning import ReasoningVault

MAX_ATTEMPTS = 1
"""Until faults decide about retries, only the first candidate is tried."""


class Reply(Struct, frozen=True):
    """What dispatch hands to the pump: the winning attempt and its answer."""

    attempt: Attempt
    answer: Whole | Primed
    client: ClientFormat
    clock: PhaseClock


class Dispatcher:
    """Tries candidates in order. Its collaborators live as long as the process."""

    def __init__(
        self,
        upstream: Upstream,
        formats: Mapping[str, Format],
        clients: Mapping[str, ClientFormat],
        vault: ReasoningVault,
        demo_base_url: Callable[[str], str],
    ) -> None:
        self._upstream = upstream
        self._formats = formats
        self._clients = clients
        self._vault = vault
        self._demo_base_url = demo_base_url

    async def dispatch(
        self,
        exchange: Exchange,
        call: Call,
        route: Route,
        client_headers: Mapping[str, str],
        snapshot: Snapshot,
    ) -> Reply:
        """The first primed answer. Raises the client's fault, or that of the last attempt."""
        last: UpstreamFault | None = None
        for candidate in route.candidates[:MAX_ATTEMPTS]:
            try:
                return await self._try(exchange, call, candidate, client_headers, snapshot)
            except UpstreamFault as fault:
                last = fault
        assert last is not None  # a route has at least one candidate
        raise last

    async def _try(
        self,
        exchange: Exchange,
        call: Call,
        candidate: Candidate,
        client_headers: Mapping[str, str],
        snapshot: Snapshot,
    ) -> Reply:
        """One candidate. A request that it refuses for a reason we can mend is sent once more;
        each time is an attempt of its own."""
        attempt, clock = self._begin(exchange, candidate, snapshot)
        try:
            work = await self._work(
                exchange, call, candidate, client_headers, snapshot.config.egress
            )
        except PlexusError as fault:
            attempt.end(fault)
            raise
        try:
            return await self._run(exchange, work, attempt, clock)
        except Refused as fault:
            repair = repaired(fault, work.request.body)
            if repair is None:
                raise
        exchange.dropped = [*dict.fromkeys((*exchange.dropped, *repair.dropped))]
        request = structs.replace(work.request, body=repair.body)
        attempt, clock = self._begin(exchange, candidate, snapshot)
        return await self._run(exchange, structs.replace(work, request=request), attempt, clock)

    def _begin(
        self, exchange: Exchange, candidate: Candidate, snapshot: Snapshot
    ) -> tuple[Attempt, PhaseClock]:
        attempt = Attempt(candidate, self._formats[candidate.format].observer())
        exchange.attempts.append(attempt)
        timeouts = snapshot.timeouts(candidate.provider)
        return attempt, PhaseClock(timeouts, asyncio.get_running_loop().time())

    async def _run(
        self, exchange: Exchange, work: Work, attempt: Attempt, clock: PhaseClock
    ) -> Reply:
        try:
            answer = await run(work, attempt, self._upstream, clock)
        except PlexusError as fault:
            attempt.end(fault)
            raise
        exchange.note_first_content()
        return Reply(attempt, answer, work.client, clock)

    async def _work(
        self,
        exchange: Exchange,
        call: Call,
        candidate: Candidate,
        client_headers: Mapping[str, str],
        egress: Egress,
    ) -> Work:
        client = self._clients[exchange.client_format]
        provider = self._formats[candidate.format]
        crossing = Crossing(
            provider=candidate.provider_id,
            model=candidate.model,
            response_id=exchange.request_id.removeprefix("req_"),
            created_s=int(time.time()),
            include_usage=call.include_usage,
            estimated_input_tokens=estimate_tokens(len(call.body)),
        )
        if client is provider:
            body = provider.splice(call, candidate.model, candidate.extra_body)
        else:
            conversation = await self._conversation(
                exchange, call, client, provider, crossing, egress
            )
            body = provider.write_request(conversation, crossing)
            exchange.dropped = crossing.dropped
            if candidate.extra_body:
                body = provider.splice(
                    structs.replace(call, body=body), candidate.model, candidate.extra_body
                )
        if candidate.adapters:
            body = adapted(body, candidate.adapters)
        base_url = candidate.base_url
        if base_url.startswith(DEMO_SCHEME):
            base_url = self._demo_base_url(candidate.format)
        return Work(
            request=outgoing(
                candidate,
                provider,
                base_url,
                body,
                streamed=call.stream,
                client_headers=with_session(
                    client_headers if client is provider else {}, provider, call
                ),
            ),
            client=client,
            provider=provider,
            crossing=crossing,
            streamed=call.stream,
            patch=answer_patch(candidate.adapters) if candidate.adapters else None,
        )

    async def _conversation(
        self,
        exchange: Exchange,
        call: Call,
        client: ClientFormat,
        provider: Format,
        crossing: Crossing,
        egress: Egress,
    ) -> Conversation:
        """What the client said, with all that has to be fetched before it can be translated."""
        conversation = client.read_request(call.body, Asked(call.model, call.stream))
        crossing.echo = conversation.echo
        conversation, sought = unmarked(conversation)
        if sought.anchors and exchange.caller is not None:
            crossing.remembered = await self._vault.fetch(exchange.caller.owner, sought)
        if urls := remote_urls(conversation, provider.inlines):
            fetched = await fetch(
                urls, max_bytes=egress.media_bytes, allow_private=egress.allow_private_addresses
            )
            content = {
                url: content_of(found.media_type, found.body) for url, found in fetched.items()
            }
            conversation = with_fetched(conversation, content)
        return conversation
