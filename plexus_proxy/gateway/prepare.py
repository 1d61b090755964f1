"""What a candidate is to be sent: the client's body as it is, or translated.

What has to be read, fetched or remembered for it is the same for all candidates of an exchange, and
is kept for the next one.
"""

import time
from collections.abc import Callable, Mapping

from msgspec import structs

from plexus_proxy.adapters.registry import adapted, answer_patch
from plexus_proxy.config.model import Egress
from plexus_proxy.egress import Fetcher
from plexus_proxy.errors import PlexusError
from plexus_proxy.formats.anchors import unmarked, without_marks
from plexus_proxy.formats.conversation import Conversation, Crossing, Reasoning
from plexus_proxy.formats.format import Asked, Call, ClientFormat, Format
from plexus_proxy.formats.remote import content_of, remote_urls, with_fetched
from plexus_proxy.formats.resume import Resumable, with_beginning
from plexus_proxy.gateway.exchange import Exchange
from plexus_proxy.gateway.headers import with_session
from plexus_proxy.routing.access import DEMO_SCHEME
from plexus_proxy.routing.aliases import Candidate
from plexus_proxy.upstream.attempt import Work
from plexus_proxy.upstream.request import outgoing
from plexus_proxy.usage.estimate import estimate_tokens
from plexus_proxy.vault.reasoning import ReasoningVault


class Prepared:
    """What one exchange has learnt so far of its client's request."""

    __slots__ = ("conversation", "fault", "fetched", "remembered")

    def __init__(self) -> None:
        self.fault: PlexusError | None = None
        """Why it cannot be told to a provider of another format, whichever."""
        self.conversation: Conversation | None = None
        self.remembered: Mapping[str, tuple[Reasoning, ...]] = {}
        self.fetched: dict[str, tuple[str, bytes]] = {}
        """URL → media type and content."""


class Preparer:
    """Makes the work of an attempt. Its collaborators live as long as the process."""

    def __init__(
        self,
        formats: Mapping[str, Format],
        clients: Mapping[str, ClientFormat],
        vault: ReasoningVault,
        demo_base_url: Callable[[str], str],
    ) -> None:
        self._fetcher = Fetcher()
        self._formats = formats
        self._clients = clients
        self._vault = vault
        self._demo_base_url = demo_base_url

    async def work(
        self,
        exchange: Exchange,
        prepared: Prepared,
        call: Call,
        candidate: Candidate,
        client_headers: Mapping[str, str],
        egress: Egress,
        *,
        first_bytes: int = 0,
        resumes: Resumable | None = None,
        may_resume: bool = False,
    ) -> Work:
        """Raises the client's faults: what cannot be read, fetched or expressed.

        `resumes`: the answer that is to go on; `may_resume`: this one may have to, later."""
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
        if client is provider and resumes is None:
            body = without_marks(provider.splice(call, candidate.model, candidate.extra_body))
            exchange.dropped = []
        else:
            if prepared.fault is not None:
                raise prepared.fault
            try:
                conversation = await self._conversation(
                    exchange, prepared, call, client, provider, crossing, egress
                )
            except PlexusError as fault:
                prepared.fault = fault
                raise
            if resumes is not None:
                conversation = with_beginning(conversation, resumes.text)
            body = provider.write_request(conversation, crossing)
            exchange.dropped = crossing.dropped
            if candidate.extra_body:
                body = provider.splice(
                    structs.replace(call, body=body), candidate.model, candidate.extra_body
                )
        if candidate.adapters:
            body = adapted(body, candidate.adapters)
        if resumes is not None:
            resumes.resume(provider, crossing)
        elif may_resume:
            resumes = Resumable(provider, client, crossing)
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
            first_bytes=first_bytes,
            resumes=resumes,
            patch=answer_patch(candidate.adapters) if candidate.adapters else None,
        )

    async def _conversation(
        self,
        exchange: Exchange,
        prepared: Prepared,
        call: Call,
        client: ClientFormat,
        provider: Format,
        crossing: Crossing,
        egress: Egress,
    ) -> Conversation:
        """What the client said, with all that has to be fetched before it can be translated."""
        conversation = prepared.conversation
        if conversation is None:
            read = client.read_request(call.body, Asked(call.model, call.stream))
            conversation, sought = unmarked(read)
            if sought.anchors and exchange.caller is not None:
                prepared.remembered = await self._vault.fetch(exchange.caller.owner, sought)
            prepared.conversation = conversation
        crossing.echo = conversation.echo
        crossing.remembered = prepared.remembered
        if urls := remote_urls(conversation, provider.inlines):
            missing = [url for url in urls if url not in prepared.fetched]
            if missing:
                found = await self._fetcher.fetch(
                    missing,
                    max_bytes=egress.media_bytes,
                    allow_private=egress.allow_private_addresses,
                )
                prepared.fetched.update(
                    {url: (each.media_type, each.body) for url, each in found.items()}
                )
            content = {url: content_of(*prepared.fetched[url]) for url in urls}
            conversation = with_fetched(conversation, content)
        return conversation
