"""What is in flight right now: kept in memory only, for the live view."""

from msgspec import Struct


class LiveRequest(Struct, kw_only=True):
    """One request that has not ended yet. The gateway fills in what it learns on the way."""

    request_id: str
    started_at_ms: int
    client_format: str
    key_name: str | None = None
    alias: str | None = None
    provider: str | None = None
    model: str | None = None
    streamed: bool = False


class InFlight:
    """The requests between their first byte and their row, oldest first."""

    __slots__ = ("_requests",)

    def __init__(self) -> None:
        self._requests: dict[str, LiveRequest] = {}

    def begin(self, request: LiveRequest) -> None:
        self._requests[request.request_id] = request

    def end(self, request_id: str) -> None:
        """Forget the request; ending twice, or what never began, is no error."""
        self._requests.pop(request_id, None)

    def requests(self) -> list[LiveRequest]:
        return list(self._requests.values())

    def __len__(self) -> int:
        return len(self._requests)
