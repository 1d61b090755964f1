"""The requests that have not ended yet."""

from plexus_proxy.usage.live import InFlight, LiveRequest


def live(request_id: str) -> LiveRequest:
    return LiveRequest(request_id=request_id, started_at_ms=1, client_format="chat")


def test_requests_are_listed_between_begin_and_end() -> None:
    in_flight = InFlight()
    first, second = live("a"), live("b")
    in_flight.begin(first)
    in_flight.begin(second)
    assert in_flight.requests() == [first, second]
    in_flight.end("a")
    assert in_flight.requests() == [second]
    assert len(in_flight) == 1


def test_what_the_gateway_learns_shows_at_once() -> None:
    in_flight = InFlight()
    request = live("a")
    in_flight.begin(request)
    request.provider = "vendor"
    assert in_flight.requests()[0].provider == "vendor"


def test_ending_twice_is_no_error() -> None:
    in_flight = InFlight()
    in_flight.begin(live("a"))
    in_flight.end("a")
    in_flight.end("a")
    assert len(in_flight) == 0
