"""How many requests are at a provider and at a model right now, and who waits for a place.

Limits hold over all processes that share a database: each has an equal slice, rounded up, so they
may be exceeded by less than one request per process, and for some seconds when a process joins.
Nothing is asked of the database for it.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Hashable, Sequence
from contextlib import asynccontextmanager
from typing import TypeVar

from aiohttp import web
from msgspec import Struct

from plexus_proxy.cluster.cluster import CLUSTER
from plexus_proxy.config.model import TargetKey

K = TypeVar("K", bound=Hashable)


class Want(Struct, frozen=True, gc=False):
    """A place at a target, and the limits that hold there; None: no limit."""

    provider: str
    model: str
    provider_limit: int | None
    model_limit: int | None

    @property
    def is_limited(self) -> bool:
        return self.provider_limit is not None or self.model_limit is not None


class Slot:
    """A place that is taken, until it is given back."""

    __slots__ = ("_places", "want")

    def __init__(self, places: "Places", want: Want) -> None:
        self._places: Places | None = places
        self.want = want

    def release(self) -> None:
        """Give the place back; once is enough."""
        places, self._places = self._places, None
        if places is not None:
            places.give_back(self.want)


class Places:
    """The places of one process. `processes` says how many share the limits."""

    def __init__(self, processes: Callable[[], int]) -> None:
        self._processes = processes
        self._at_provider: dict[str, int] = {}
        self._at_target: dict[TargetKey, int] = {}
        self._queues: dict[str, deque[_Waiter]] = {}

    def take(self, want: Want) -> Slot | None:
        """A place, or None if there is none. Those who wait for it come first."""
        if want.is_limited:
            self._serve(want.provider)
            if not self._has_room(want):
                return None
        return self._taken(want)

    async def wait(self, wants: Sequence[Want], *, queue_size: int, seconds: float) -> Slot | None:
        """A place at the first of `wants` that has one; None if it takes too long, or if too many
        wait for each of their providers already."""
        waiter = _Waiter(wants, asyncio.get_running_loop().create_future())
        joined: list[str] = []
        for provider in dict.fromkeys(want.provider for want in wants):
            queue = self._queues.get(provider)
            if len(queue or ()) < queue_size:
                self._queues.setdefault(provider, deque()).append(waiter)
                joined.append(provider)
        if not joined:
            return None
        for provider in joined:
            self._serve(provider)
        try:
            async with asyncio.timeout(seconds):
                return await waiter.place
        except TimeoutError:
            return waiter.given()  # perhaps in the very last moment
        except asyncio.CancelledError:
            if slot := waiter.given():
                slot.release()
            raise
        finally:
            self._leave(waiter, joined)

    def give_back(self, want: Want) -> None:
        """See Slot.release."""
        _less(self._at_provider, want.provider)
        _less(self._at_target, (want.provider, want.model))
        self._serve(want.provider)

    def active(self) -> dict[TargetKey, int]:
        """Requests at each target, of this process."""
        return dict(self._at_target)

    @property
    def waiting(self) -> int:
        """Requests that wait for a place."""
        return len({id(waiter) for queue in self._queues.values() for waiter in queue})

    def _serve(self, provider: str) -> None:
        """Those who came first are served first, as far as there is room for them."""
        for waiter in self._queues.get(provider, ()):
            if waiter.place.done():
                continue
            for want in waiter.wants:
                if want.provider == provider and self._has_room(want):
                    waiter.place.set_result(self._taken(want))
                    break

    def _leave(self, waiter: "_Waiter", providers: Sequence[str]) -> None:
        for provider in providers:
            queue = self._queues[provider]
            queue.remove(waiter)
            if not queue:
                del self._queues[provider]

    def _taken(self, want: Want) -> Slot:
        key = want.provider, want.model
        self._at_provider[want.provider] = self._at_provider.get(want.provider, 0) + 1
        self._at_target[key] = self._at_target.get(key, 0) + 1
        return Slot(self, want)

    def _has_room(self, want: Want) -> bool:
        at_provider = self._at_provider.get(want.provider, 0)
        at_target = self._at_target.get((want.provider, want.model), 0)
        return self._below(want.provider_limit, at_provider) and self._below(
            want.model_limit, at_target
        )

    def _below(self, limit: int | None, count: int) -> bool:
        return limit is None or count < -(-limit // max(1, self._processes()))


class _Waiter:
    """One request in the queues of the providers it would take a place at."""

    __slots__ = ("place", "wants")

    def __init__(self, wants: Sequence[Want], place: "asyncio.Future[Slot]") -> None:
        self.wants = wants
        self.place = place

    def given(self) -> Slot | None:
        place = self.place
        return place.result() if place.done() and not place.cancelled() else None


def _less(counts: dict[K, int], key: K) -> None:
    if counts[key] == 1:
        del counts[key]
    else:
        counts[key] -= 1


PLACES: web.AppKey[Places] = web.AppKey("places", Places)


@asynccontextmanager
async def places(app: web.Application) -> AsyncGenerator[None]:
    """For `app.cleanup_ctx`, after the cluster: the Places under PLACES."""
    members = app[CLUSTER].members
    app[PLACES] = Places(lambda: members.count)
    yield
