"""Candidates → a primed reply: the loop that tries them one by one.

Until an attempt is primed every fault may become a retry at the next candidate; after it the pump
tells the client in-band. Nothing else in the code asks whether headers have been sent.

Which candidate is next is decided anew before each attempt, as things stand then: one that has
begun to cool down is left out, so is one that would be asked with a credential that failed a
moment ago, and for a place at a target that is full the request waits only when nothing else is
left. When all that is left cools down, the one that comes back first is probed.
"""

import asyncio
import time
from collections.abc import Mapping
from random import Random

from msgspec import Struct, structs

from plexus_proxy.adapters.repair import repaired
from plexus_proxy.config.model import Provider
from plexus_proxy.config.snapshot import Snapshot
from plexus_proxy.errors import (
    AllAttemptsFailed,
    Busy,
    Garbled,
    NoAllowance,
    NoCandidate,
    PlexusError,
    Refused,
    UpstreamFault,
)
from plexus_proxy.formats.format import Call, ClientFormat, Format
from plexus_proxy.formats.resume import PREFILLED, Resumable
from plexus_proxy.gateway.exchange import FULL, Exchange
from plexus_proxy.gateway.prepare import Prepared, Preparer
from plexus_proxy.limits.allowances import Allowances, allowance_in
from plexus_proxy.limits.concurrency import Places, Slot, Want
from plexus_proxy.limits.cooldowns import LAST_RESORT_MS, OF_CREDENTIAL, Cooldown, Cooldowns
from plexus_proxy.limits.retries import RetryBudget
from plexus_proxy.routing.aliases import Candidate
from plexus_proxy.routing.router import Route
from plexus_proxy.upstream.attempt import Attempt, Primed, Whole, Work, run
from plexus_proxy.upstream.client import Upstream
from plexus_proxy.upstream.clock import PhaseClock
from plexus_proxy.upstream.faults import Verdict, verdict

JITTER_S = 0.05
"""A further attempt begins after up to this long, so that all requests that one failing provider
drops do not come to the next at the same instant."""
_ALLOWANCE = ("quota", "rate_limit")
_NOTHING_WRONG = Verdict(False, None)


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
        preparer: Preparer,
        cooldowns: Cooldowns,
        allowances: Allowances,
        places: Places,
        random: Random,
    ) -> None:
        self._upstream = upstream
        self._formats = formats
        self._preparer = preparer
        self._cooldowns = cooldowns
        self._allowances = allowances
        self._places = places
        self._budget = RetryBudget()
        self._random = random

    async def dispatch(
        self,
        exchange: Exchange,
        call: Call,
        route: Route,
        client_headers: Mapping[str, str],
        snapshot: Snapshot,
    ) -> Reply:
        """The first primed answer. Raises the client's fault, that of the only attempt, or
        AllAttemptsFailed; NoCandidate if nothing could be tried.

        A request that cannot be told to one candidate may be to the next: that is not a retry."""
        self._budget.request(time.monotonic())
        search = _Search(exchange, route, self._cooldowns, self._places, snapshot)
        prepared = Prepared()
        last: UpstreamFault | None = None
        untold: PlexusError | None = None
        empty: Reply | None = None
        sent = False
        while not exchange.attempts or (
            search.has_more
            and self._may_go_on(exchange, snapshot, anew=sent and search.is_promising)
        ):
            if sent and search.is_promising:
                await asyncio.sleep(self._random.uniform(0, JITTER_S))
            found = await search.next()
            if found is None:
                break
            candidate, slot = found
            try:
                reply = await self._try(
                    exchange, prepared, call, candidate, slot, client_headers, snapshot
                )
            except UpstreamFault as fault:
                last = fault
                decided = self.settle(exchange.attempts[-1], fault, snapshot)
                if not decided.retry:
                    raise
                search.note(candidate, decided)
                sent = True
                continue
            except PlexusError as fault:
                untold = untold or fault
                sent = False
                continue
            sent = True
            if reply.attempt.observer.empty and search.is_promising:
                empty = reply  # perhaps another has more to say
                self._leave_empty(reply, exchange, snapshot)
                continue
            exchange.answered = reply.attempt
            return reply
        if empty is not None:
            exchange.note_first_content()
            exchange.answered = empty.attempt
            return empty
        if last is not None:
            raise _failure(exchange, last)
        raise untold or search.nothing()

    async def resume(
        self,
        exchange: Exchange,
        call: Call,
        route: Route,
        cut: Resumable,
        client_headers: Mapping[str, str],
        snapshot: Snapshot,
    ) -> Reply | None:
        """Go on with an answer that was cut off, at a target that was not tried yet and takes the
        beginning of an answer. None if there is none; then `cut` has to give up."""
        exchange.wait_again()
        tried = {attempt.candidate.key for attempt in exchange.attempts}
        left = tuple(
            each for each in route.candidates if each.key not in tried and _takes_beginning(each)
        )
        search = _Search(
            exchange,
            structs.replace(route, candidates=left, cooling=()),
            self._cooldowns,
            self._places,
            snapshot,
        )
        prepared = Prepared()
        while search.has_more and self._may_go_on(exchange, snapshot):
            found = await search.next()
            if found is None:
                return None
            candidate, slot = found
            try:
                reply = await self._try(
                    exchange, prepared, call, candidate, slot, client_headers, snapshot, resumes=cut
                )
            except UpstreamFault as fault:
                search.note(candidate, self.settle(exchange.attempts[-1], fault, snapshot))
            except PlexusError:
                continue  # it cannot be asked for that: settled already
            else:
                reply.attempt.resumed = True
                exchange.cut.append(exchange.answered or exchange.attempts[0])
                exchange.answered = reply.attempt
                return reply
        return None

    def settle(self, attempt: Attempt, fault: PlexusError | None, snapshot: Snapshot) -> Verdict:
        """An attempt has come to its end: give back its place, and note what that says of its
        target."""
        attempt.end(fault)
        attempt.slot.release()
        candidate, cooldowns = attempt.candidate, self._cooldowns
        if fault is None:
            cooldowns.succeeded(*candidate.key, started_ms=attempt.started_ms)
            return _NOTHING_WRONG
        decided = verdict(fault, snapshot.config.failover, mended=attempt.mended)
        cooling = decided.cooling
        if cooling is not None and cooling.cause == "stall":
            cooling = cooling if snapshot.stalls(candidate.provider).cooldown else None
        if cooling is None or candidate.provider.disable_cooldown:
            cooldowns.abandoned(*candidate.key, started_ms=attempt.started_ms)
        else:
            cooldowns.failed(
                *candidate.key,
                cooling,
                snapshot.config.cooldown,
                started_ms=attempt.started_ms,
                now_ms=_now_ms(),
                initial_s=candidate.cooldown_s,
            )
        return decided

    def let_go(self, exchange: Exchange) -> None:
        """The exchange is over: whatever attempt was still running says nothing of its target. It
        was cancelled, or failed by an error of our own."""
        for attempt in exchange.attempts:
            attempt.slot.release()
            if attempt.ended is None:
                self._cooldowns.abandoned(*attempt.candidate.key, started_ms=attempt.started_ms)
                if exchange.error is not None:
                    attempt.end(exchange.error)

    def _may_go_on(self, exchange: Exchange, snapshot: Snapshot, *, anew: bool = True) -> bool:
        """Whether there may be one more attempt, whatever is left to try. `anew`: it would be a
        further request to providers."""
        failover = snapshot.config.failover
        return (
            failover.enabled
            and len({attempt.candidate.key for attempt in exchange.attempts})
            < failover.max_attempts
            and exchange.waiting_s < failover.deadline_s
            and (
                not anew
                or self._budget.take(
                    failover.retry_budget, failover.min_retries_per_s, time.monotonic()
                )
            )
        )

    def _leave_empty(self, reply: Reply, exchange: Exchange, snapshot: Snapshot) -> None:
        exchange.first_content = None
        fault = Garbled("The provider's answer is empty.", code=Garbled.EMPTY)
        self.settle(reply.attempt, fault, snapshot)

    async def _try(
        self,
        exchange: Exchange,
        prepared: Prepared,
        call: Call,
        candidate: Candidate,
        slot: Slot,
        client_headers: Mapping[str, str],
        snapshot: Snapshot,
        *,
        resumes: Resumable | None = None,
    ) -> Reply:
        """One candidate. A request that it refuses for a reason we can mend is sent once more;
        each time is an attempt of its own, at the same place."""
        stall = snapshot.stalls(candidate.provider)
        attempt, clock = self._begin(exchange, call, candidate, slot, snapshot)
        try:
            work = await self._preparer.work(
                exchange,
                prepared,
                call,
                candidate,
                client_headers,
                snapshot.config.egress,
                first_bytes=stall.ttfb_bytes if stall.ttfb_s and resumes is None else 0,
                resumes=resumes,
                may_resume=exchange.may_resume,
            )
        except UpstreamFault:
            raise
        except PlexusError as fault:
            self.settle(attempt, fault, snapshot)
            raise
        try:
            return await self._run(exchange, work, attempt, clock)
        except Refused as fault:
            repair = repaired(fault, work.request.body)
            if repair is None:
                raise
            attempt.end(fault)
        exchange.dropped = [*dict.fromkeys((*exchange.dropped, *repair.dropped))]
        request = structs.replace(work.request, body=repair.body)
        attempt, clock = self._begin(exchange, call, candidate, slot, snapshot)
        attempt.mended = True
        return await self._run(exchange, structs.replace(work, request=request), attempt, clock)

    def _begin(
        self, exchange: Exchange, call: Call, candidate: Candidate, slot: Slot, snapshot: Snapshot
    ) -> tuple[Attempt, PhaseClock]:
        """The first attempt has all the time its own limits give it, further ones have to be done
        with by the deadline."""
        now = asyncio.get_running_loop().time()
        limits = snapshot.timeouts(candidate.provider)
        first_bytes_s = snapshot.stalls(candidate.provider).ttfb_s if call.stream else None
        if exchange.attempts:
            left_s = max(0.0, snapshot.config.failover.deadline_s - exchange.waiting_s)
            clock = PhaseClock(limits, now, latest=now + left_s, first_bytes_s=first_bytes_s)
        else:
            clock = PhaseClock(limits, now, first_bytes_s=first_bytes_s)
        attempt = Attempt(candidate, self._formats[candidate.format].observer(), slot)
        exchange.attempts.append(attempt)
        return attempt, clock

    async def _run(
        self, exchange: Exchange, work: Work, attempt: Attempt, clock: PhaseClock
    ) -> Reply:
        answer = await run(work, attempt, self._upstream, clock)
        attempt.first_content = exchange.note_first_content()
        key, cooldowns = attempt.candidate.key, self._cooldowns
        cooldowns.opened(*key, started_ms=attempt.started_ms)
        now_ms = _now_ms()
        self._allowances.note(key[0], attempt.headers, now_ms)
        if not cooldowns.idle:
            allowance = allowance_in(attempt.headers, now_ms)
            if allowance is not None and allowance.share_left > 0:
                cooldowns.quota_recovered(*key, started_ms=attempt.started_ms)
        return Reply(attempt, answer, work.client, clock)


class _Search:
    """Which candidate of a route is next, for one exchange."""

    __slots__ = (
        "_blocking",
        "_cooldowns",
        "_exchange",
        "_full",
        "_left",
        "_places",
        "_route",
        "_snapshot",
        "_spent",
        "_tried",
    )

    def __init__(
        self,
        exchange: Exchange,
        route: Route,
        cooldowns: Cooldowns,
        places: Places,
        snapshot: Snapshot,
    ) -> None:
        self._exchange = exchange
        self._route = route
        self._cooldowns = cooldowns
        self._places = places
        self._snapshot = snapshot
        self._left = list(reversed(route.candidates))
        self._full: list[Candidate] = []
        self._blocking: list[tuple[Candidate, Cooldown]] = []
        self._spent: set[tuple[str, str, str]] = set()
        """(credential, server or "", model or "") that a fault was about; "": all."""
        now_ms = _now_ms()
        for candidate in route.cooling:
            entry = cooldowns.blocking(*candidate.key, now_ms)
            if entry is None:
                self._left.insert(0, candidate)  # over since it was routed
            else:
                self._set_aside(candidate, entry)

    @property
    def has_more(self) -> bool:
        """There is another candidate, to be tried or to be left out."""
        return bool(self._left or self._full or self._blocking)

    @property
    def is_promising(self) -> bool:
        """There is another candidate that may be asked."""
        if not all(map(self._is_spent, (*self._left, *self._full))):
            return True
        now_ms = _now_ms()
        return any(not (e.is_hard(now_ms) or self._is_spent(c)) for c, e in self._blocking)

    def note(self, candidate: Candidate, decided: Verdict) -> None:
        """A fault: the same credential is not asked again for what it was about. What is wrong with
        the credential itself is so at every server, all else at the one that was asked: servers
        that check no keys often have the same one."""
        cooling = decided.cooling
        everywhere = cooling is not None and cooling.cause in OF_CREDENTIAL
        account_wide = cooling is not None and cooling.account_wide
        self._spent.add(
            (
                _credential(candidate),
                "" if everywhere else _server(candidate),
                "" if account_wide else candidate.model,
            )
        )

    async def next(self) -> tuple[Candidate, Slot] | None:
        """The candidate to be tried now, and a place at it; None if there is none."""
        while self._left:
            candidate = self._left.pop()
            if self._is_spent(candidate):
                self._exchange.skip(candidate, "same credential failed before")
                continue
            slot = self._places.take(_want(candidate))
            if slot is None:
                self._full.append(candidate)
                self._exchange.skip(candidate, FULL)
            elif self._admitted(candidate):
                return candidate, slot
            else:
                slot.release()
        return await self._waited() or self._last_resort()

    def nothing(self) -> NoCandidate:
        """Why nothing could be tried."""
        reasons = {**self._route.reasons}
        reasons |= {_name(candidate): "at its limit of requests" for candidate in self._full}
        reasons |= {
            _name(candidate): f"cooling down ({e.cause})" for candidate, e in self._blocking
        }
        words = "No target of this model can be used now: " + _listed(reasons) + "."
        if self._full:
            return Busy(words, reasons=reasons, retry_after_s=1)
        entries = [entry for _, entry in self._blocking]
        now_ms = _now_ms()
        wait_ms = min(max(entry.hard_until_ms - now_ms, LAST_RESORT_MS) for entry in entries)
        wait_s = max(1.0, wait_ms / 1000)
        if all(entry.is_hard(now_ms) and entry.cause in _ALLOWANCE for entry in entries):
            return NoAllowance(words, reasons=reasons, retry_after_s=wait_s)
        return NoCandidate(words, reasons=reasons, retry_after_s=wait_s)

    def _is_spent(self, candidate: Candidate) -> bool:
        if not self._spent:
            return False
        credential = _credential(candidate)
        return any(
            (credential, server, model) in self._spent
            for server in ("", _server(candidate))
            for model in ("", candidate.model)
        )

    def _admitted(self, candidate: Candidate) -> bool:
        """Unless it has begun to cool down since it was routed."""
        cooldowns = self._cooldowns
        if cooldowns.idle or self._route.direct or candidate.provider.disable_cooldown:
            return True
        now_ms = _now_ms()
        if cooldowns.admit(*candidate.key, now_ms):
            return True
        entry = cooldowns.blocking(*candidate.key, now_ms)
        assert entry is not None  # nothing else keeps a target out
        self._set_aside(candidate, entry)
        return False

    async def _waited(self) -> tuple[Candidate, Slot] | None:
        """A place at a target that was full, as soon as there is one."""
        full = [candidate for candidate in self._full if not self._is_spent(candidate)]
        if not full:
            return None
        rules = self._snapshot.config.concurrency
        slot = await self._places.wait(
            [_want(candidate) for candidate in full],
            queue_size=rules.queue_size,
            seconds=rules.queue_s,
        )
        if slot is None:
            return None
        [candidate] = [c for c in full if _want(c) == slot.want][:1]
        self._full.remove(candidate)
        if self._admitted(candidate):
            return candidate, slot
        slot.release()
        return await self._waited()

    def _last_resort(self) -> tuple[Candidate, Slot] | None:
        """Of those that cool down softly the one that comes back first."""
        now_ms = _now_ms()
        soft = [(c, entry) for c, entry in self._blocking if not entry.is_hard(now_ms)]
        for candidate, entry in sorted(soft, key=lambda each: each[1].until_ms):
            if self._is_spent(candidate):
                continue
            slot = self._places.take(_want(candidate))
            if slot is None:
                continue
            if self._cooldowns.probe(*candidate.key, now_ms):
                self._blocking.remove((candidate, entry))
                return candidate, slot
            slot.release()
        return None

    def _set_aside(self, candidate: Candidate, entry: Cooldown) -> None:
        self._blocking.append((candidate, entry))
        self._exchange.skip(candidate, f"cooling down: {entry.cause}")


def _failure(exchange: Exchange, last: UpstreamFault) -> PlexusError:
    """What the client is told when no attempt has brought an answer."""
    tried: dict[str, str] = {}
    for attempt in exchange.attempts:
        fault = attempt.fault
        if isinstance(fault, Refused):
            tried[_name(attempt.candidate)] = str(fault.upstream_status)
        elif fault is not None:
            tried[_name(attempt.candidate)] = fault.code or fault.kind
    if len(tried) == 1:
        return last
    return AllAttemptsFailed(
        f"All targets failed: {_listed(tried)}. Last error: {last.told}", last=last
    )


_MAX_LISTED = 12


def _listed(reasons: Mapping[str, str]) -> str:
    named = [f"{target} ({reason})" for target, reason in reasons.items()]
    over = len(named) - _MAX_LISTED
    return ", ".join(named[:_MAX_LISTED]) + (f" and {over} more" if over > 0 else "")


def _name(candidate: Candidate) -> str:
    return f"{candidate.provider_id}/{candidate.model}"


def _want(candidate: Candidate) -> Want:
    return Want(
        candidate.provider_id,
        candidate.model,
        candidate.provider.max_concurrency,
        candidate.max_concurrency,
    )


def _takes_beginning(candidate: Candidate) -> bool:
    return candidate.format in PREFILLED if candidate.prefill is None else candidate.prefill


def _credential(candidate: Candidate) -> str:
    """What a provider knows us by; two providers of the config may have the same."""
    provider: Provider = candidate.provider
    key = provider.api_key.reveal() if provider.api_key is not None else ""
    return key or f"provider {candidate.provider_id}"


def _server(candidate: Candidate) -> str:
    """Whom its requests go to, whatever the path."""
    return candidate.base_url.partition("://")[2].partition("/")[0]


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
