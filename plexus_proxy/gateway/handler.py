"""The corridor: a client request walks straight through auth, parse, route, dispatch and pump."""

import asyncio
import logging
import re
from collections.abc import Sequence
from functools import partial
from random import Random

from aiohttp import web
from msgspec import structs

from plexus_proxy.config.model import TargetKey
from plexus_proxy.config.snapshot import Snapshot
from plexus_proxy.config.stalls import ResolvedStall
from plexus_proxy.config.store import ConfigStore
from plexus_proxy.errors import PlexusError
from plexus_proxy.formats.conversation import Remembered
from plexus_proxy.formats.format import IN_BODY, Asked, ClientFormat
from plexus_proxy.formats.gemini.array import KEEPALIVE, ArrayRelay
from plexus_proxy.formats.resume import Resumable
from plexus_proxy.gateway.affinity import Affinity, Preference
from plexus_proxy.gateway.auth import authenticate
from plexus_proxy.gateway.body import read_json_body
from plexus_proxy.gateway.dispatch import Dispatcher, Reply
from plexus_proxy.gateway.exchange import Exchange, new_request_id
from plexus_proxy.gateway.headers import from_client, from_provider
from plexus_proxy.gateway.pump import ClientStream, Pump, finish
from plexus_proxy.gateway.replies import REQUEST_ID, error_response
from plexus_proxy.routing.router import Route, Router, View
from plexus_proxy.upstream.attempt import Primed, Whole
from plexus_proxy.upstream.scrub import scrub
from plexus_proxy.upstream.stall import Pace, StallWatch
from plexus_proxy.usage.recorder import Recorder
from plexus_proxy.vault.reasoning import ReasoningVault

_log = logging.getLogger(__name__)
_FIELD = re.compile(r"[\w.$-]{1,80}", re.ASCII)
_MAX_DROPPED_CHARS = 1024


class Gateway:
    """Serves one client format per route. Holds nothing of a request."""

    def __init__(
        self,
        config: ConfigStore,
        dispatcher: Dispatcher,
        recorder: Recorder,
        watch: StallWatch,
        vault: ReasoningVault,
        router: Router,
        view: View,
        affinity: Affinity,
        random: Random,
    ) -> None:
        self._config = config
        self._dispatcher = dispatcher
        self._recorder = recorder
        self._watch = watch
        self._vault = vault
        self._router = router
        self._view = view
        self._affinity = affinity
        self._random = random

    async def serve(
        self, request: web.Request, fmt: ClientFormat, asked: Asked = IN_BODY
    ) -> web.StreamResponse:
        """One exchange from head to row. A client that leaves shows up as CancelledError, or as
        ConnectionResetError from a write; both end the upstream request at once."""
        request_id = request[REQUEST_ID] = new_request_id()
        exchange = Exchange(fmt.name, request_id, request.headers, request.remote)
        cancelled = False
        try:
            snapshot = self._config.current  # one snapshot for the whole request
            config = snapshot.config
            caller = exchange.caller = authenticate(request.headers, request.query, snapshot)
            body = await read_json_body(request, config.limits)
            call = exchange.call = fmt.read_call(body, asked)
            preference = await self._affinity.preference(caller, request.headers, call, snapshot)
            routed = exchange.route = self._routed(call.model, fmt, snapshot, preference)
            if call.stream and not asked.array and routed.alias is not None:
                exchange.may_resume = routed.alias.resume == "continue"
            reply = await self._dispatcher.dispatch(
                exchange, call, routed, from_client(request.headers), snapshot
            )
            self._affinity.served(preference, exchange, reply.attempt)
            response = await self._reply(reply, request, exchange, snapshot, array=asked.array)
            if exchange.cut and exchange.answered is not None:  # another one has taken over
                self._affinity.served(preference, exchange, exchange.answered)
            return response
        except PlexusError as error:
            return self._failed(exchange, fmt, error)
        except (asyncio.CancelledError, ConnectionResetError):
            cancelled = True
            raise
        except Exception:
            _log.exception("request %s failed", exchange.request_id)
            if exchange.http_status is not None:  # a started response cannot be taken back
                exchange.error = PlexusError("Internal error.")
                raise
            return self._failed(exchange, fmt, PlexusError("Internal error."))
        finally:
            self._dispatcher.let_go(exchange)
            row = exchange.row(cancelled=cancelled)
            if row is not None:
                self._recorder.submit(row)

    def _routed(
        self, model: str, fmt: ClientFormat, snapshot: Snapshot, preference: Preference
    ) -> Route:
        def routed(wishes: Sequence[TargetKey | str]) -> Route:
            return self._router.route(
                model, fmt.name, "text", snapshot, self._view, self._random, prefer=wishes
            )

        found = routed(preference.wishes)
        if self._affinity.has_slowed_down(preference, found):
            return routed(preference.pins)
        return found

    def _failed(self, exchange: Exchange, fmt: ClientFormat, error: PlexusError) -> web.Response:
        exchange.error = error
        tried = exchange.attempts
        same_format = bool(tried) and tried[-1].candidate.format == fmt.name
        response = error_response(fmt, error, exchange.request_id, same_format=same_format)
        exchange.http_status = response.status
        return response

    async def _reply(
        self,
        reply: Reply,
        request: web.Request,
        exchange: Exchange,
        snapshot: Snapshot,
        *,
        array: bool,
    ) -> web.StreamResponse:
        if isinstance(reply.answer, Whole):
            self._dispatcher.settle(reply.attempt, None, snapshot)
            return await self._whole(reply, reply.answer, exchange)
        primed = as_array(reply.answer) if array else reply.answer
        return await self._stream(reply, primed, request, exchange, snapshot)

    async def _whole(self, reply: Reply, answer: Whole, exchange: Exchange) -> web.Response:
        if answer.remembered is not None:
            await self._keep(exchange, answer.remembered)
        exchange.http_status = answer.status
        headers = from_provider(answer.headers) | _dropped(exchange)
        return web.Response(status=answer.status, headers=headers, body=answer.body)

    async def _stream(
        self,
        reply: Reply,
        primed: Primed,
        request: web.Request,
        exchange: Exchange,
        snapshot: Snapshot,
    ) -> web.StreamResponse:
        headers = from_provider(primed.headers)
        relay = primed.relay
        keepalive = reply.client.keepalive
        if isinstance(relay, ArrayRelay):
            headers["content-type"] = "application/json; charset=utf-8"
            keepalive = KEEPALIVE
        elif not headers.get("content-type", "").startswith("text/event-stream"):
            headers["content-type"] = "text/event-stream; charset=utf-8"
        headers |= _dropped(exchange)
        headers["cache-control"] = "no-cache"
        headers["x-accel-buffering"] = "no"
        client = ClientStream(request, headers)
        exchange.http_status = 200
        await self._pour(reply, primed, client, keepalive, exchange, snapshot)
        while isinstance(relay, Resumable) and relay.broken:
            more = await self._resumed(relay, request, exchange, snapshot)
            if more is None or not isinstance(more.answer, Primed):
                client.write(relay.give_up())
                break
            await self._pour(more, more.answer, client, keepalive, exchange, snapshot)
        exchange.error = relay.fault
        return await client.finish()

    async def _pour(
        self,
        reply: Reply,
        primed: Primed,
        client: ClientStream,
        keepalive: bytes,
        exchange: Exchange,
        snapshot: Snapshot,
    ) -> None:
        """An answer, or what goes on with one: its head, then the rest as it comes."""
        relay, answer, attempt = primed.relay, primed.answer, reply.attempt
        provider = attempt.candidate.provider
        keep = partial(self._keep, exchange)
        try:
            await client.start(primed.head)
            if answer is not None:
                pump = Pump(
                    relay,
                    client,
                    keepalive,
                    reply.clock.limit_s("idle"),
                    partial(scrub, provider=provider),
                    keep,
                    _pace(snapshot.stalls(provider)),
                )
                await pump.run(answer, self._watch, reply.clock.deadline)
            else:
                await finish(relay, client, keep)
            self._dispatcher.settle(attempt, relay.fault, snapshot)
        finally:
            if answer is not None:
                answer.close()

    async def _resumed(
        self, cut: Resumable, request: web.Request, exchange: Exchange, snapshot: Snapshot
    ) -> Reply | None:
        call, routed = exchange.call, exchange.route
        assert call is not None
        assert routed is not None
        headers = from_client(request.headers)
        return await self._dispatcher.resume(exchange, call, routed, cut, headers, snapshot)

    async def _keep(self, exchange: Exchange, found: Remembered) -> None:
        """Keep reasoning the client may not echo; before the answer ends, so that it is there
        when the client's next request comes."""
        if exchange.caller is not None:
            await self._vault.keep(exchange.caller.owner, found)


def _pace(stall: ResolvedStall) -> Pace | None:
    if stall.min_bytes_per_s is None:
        return None
    return Pace(stall.min_bytes_per_s, stall.window_s, stall.grace_s)


def _dropped(exchange: Exchange) -> dict[str, str]:
    """The header that names what of the request could not be carried; the row names it too."""
    named = ", ".join(name for name in exchange.dropped if _FIELD.fullmatch(name))
    return {"x-plexus-dropped": named[:_MAX_DROPPED_CHARS]} if named else {}


def as_array(primed: Primed) -> Primed:
    """A stream as the JSON array that Gemini's clients may ask for."""
    relay = ArrayRelay(primed.relay)
    head = relay.elements(primed.head)
    return structs.replace(primed, head=head, relay=relay)
