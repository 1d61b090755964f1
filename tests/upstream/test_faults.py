"""Which faults another candidate may mend, and which leave a target alone for a while."""

import ssl
from typing import get_args

import pytest

from plexus_proxy.config.model import Failover
from plexus_proxy.errors import (
    AllAttemptsFailed,
    BadRequest,
    Garbled,
    Kind,
    NoCandidate,
    PlexusError,
    QuotaExceeded,
    RefusalCause,
    Refused,
    Stalled,
    TimedOut,
    Unreachable,
)
from plexus_proxy.formats.refusals import read_refusal
from plexus_proxy.limits.cooling import Cause
from plexus_proxy.upstream.faults import as_fault, verdict

DEFAULT = Failover()


def refused(status: int, cause: RefusalCause = "server", **more: object) -> Refused:
    kind: Kind = "upstream_broken"
    return Refused("no", upstream_status=status, kind=kind, cause=cause, **more)  # type: ignore[arg-type]


REFUSALS: dict[RefusalCause, tuple[bool, Cause | None, bool]] = {
    "caller": (False, None, False),
    "policy": (False, None, False),
    "unaffordable": (True, None, False),
    "incidental": (True, None, False),
    "deadline": (True, None, False),
    "auth": (True, "auth", True),
    "permission": (True, "permission", True),
    "billing": (True, "billing", True),
    "quota": (True, "quota", True),
    "rate_limit": (True, "rate_limit", False),
    "model": (True, "model", False),
    "overloaded": (True, "overloaded", False),
    "server": (True, "server", False),
    "timeout": (True, "timeout", False),
}


def test_the_table_names_every_cause() -> None:
    assert REFUSALS.keys() == set(get_args(RefusalCause))


@pytest.mark.parametrize("cause", REFUSALS)
def test_the_cause_of_a_refusal_decides(cause: RefusalCause) -> None:
    retry, cooling, hard = REFUSALS[cause]
    found = verdict(refused(599, cause), DEFAULT)
    assert found.retry == retry
    assert (found.cooling and (found.cooling.cause, found.cooling.hard)) == (
        cooling and (cooling, hard)
    )


FAULTS: list[tuple[PlexusError, bool, Cause | None]] = [
    (as_fault(ConnectionRefusedError()), True, "network"),
    (as_fault(ssl.SSLError()), True, "network"),
    (Unreachable("m", code="upstream_dns"), True, "network"),
    (TimedOut("connect", 1), True, "timeout"),
    (TimedOut("write", 1), True, "timeout"),
    (TimedOut("headers", 1), True, "timeout"),
    (TimedOut("first_content", 1), True, "timeout"),
    (TimedOut("total", 1), True, "timeout"),
    (Stalled(1), True, "timeout"),
    (Stalled.late(20), True, "stall"),
    (Stalled.slow(60, 10), True, "stall"),
    (Garbled("m"), True, "server"),
    (Garbled("m", code="upstream_cut"), True, "network"),
    (Garbled("m", code=Garbled.EMPTY), True, None),
    (Garbled("m", code=Garbled.TOO_LARGE), True, None),
    (BadRequest("m"), False, None),
    (QuotaExceeded("m"), False, None),
    (NoCandidate("m"), False, None),
    (AllAttemptsFailed("m", last=Unreachable("m")), False, None),
    (PlexusError("m"), False, None),
]


@pytest.mark.parametrize(("fault", "retry", "cause"), FAULTS)
def test_every_fault_has_its_verdict(fault: PlexusError, retry: bool, cause: Cause | None) -> None:
    found = verdict(fault, DEFAULT)
    assert (found.retry, found.cooling and found.cooling.cause) == (retry, cause)
    assert found.cooling is None or not found.cooling.hard


@pytest.mark.parametrize(
    ("status", "body", "retry", "cools"),
    [
        (400, b"no", False, False),
        (400, b"credit balance is too low", True, True),
        (400, b"quota exceeded", True, True),
        (401, b"", True, True),
        (402, b"", True, True),
        (402, b"requires more credits, or fewer max_tokens", True, False),
        (403, b"", True, True),
        (404, b"", True, True),
        (408, b"", True, True),
        (409, b"", True, True),
        (413, b"usage limit", False, False),
        (422, b"", False, False),
        (429, b"", True, True),
        (500, b"", True, True),
        (503, b"Deadline expired before operation could complete.", True, False),
        (529, b"", True, True),
    ],
)
def test_a_status_is_tried_elsewhere_and_cools_unless_the_request_is_why(
    status: int, body: bytes, retry: bool, cools: bool
) -> None:
    found = verdict(read_refusal(status, {}, body), DEFAULT)
    assert (found.retry, found.cooling is not None) == (retry, cools)


def test_an_error_within_a_200_cools_like_its_status() -> None:
    body = b'{"type":"error","error":{"type":"rate_limit_error","message":"try again in 9s"}}'
    found = verdict(read_refusal(200, {}, body, in_stream=True), DEFAULT)
    assert found.cooling is not None
    assert (found.cooling.cause, found.cooling.hard) == ("rate_limit", True)
    assert (found.cooling.seconds, found.cooling.source) == (9, "text")


def test_a_cooldown_lasts_as_the_provider_states_and_says_why_in_short() -> None:
    found = verdict(read_refusal(429, {"retry-after": "12"}, b"x" * 900), DEFAULT).cooling
    assert found is not None
    assert (found.seconds, found.source, found.hard) == (12, "header", True)
    assert found.message == "x" * 500


def test_what_a_cooldown_says_can_be_stored() -> None:
    body = b'{"error":{"message":"broken\\u0000pipe"}}'
    found = verdict(read_refusal(500, {}, body), DEFAULT).cooling
    assert found is not None
    assert found.message == "broken\ufffdpipe"


def test_without_a_stated_time_the_policy_decides() -> None:
    found = verdict(read_refusal(401, {"retry-after": "12"}, b""), DEFAULT).cooling
    assert found is not None
    assert (found.seconds, found.source, found.account_wide) == (None, "default", True)


@pytest.mark.parametrize(
    ("status", "cause", "retry"),
    [
        (500, "server", True),
        (400, "caller", True),
        (429, "rate_limit", False),
        (401, "auth", False),
        (429, "quota", False),
        (400, "quota", True),
        (400, "billing", True),
        (402, "unaffordable", True),
    ],
)
def test_configured_statuses_replace_the_default_but_for_empty_accounts(
    status: int, cause: RefusalCause, retry: bool
) -> None:
    failover = Failover(retryable_status_codes=(500, *((400,) if cause == "caller" else ())))
    assert verdict(refused(status, cause), failover).retry == retry


@pytest.mark.parametrize(
    ("names", "fault", "retry"),
    [
        (("ECONNREFUSED",), Unreachable("m"), True),
        (("econnreset",), Garbled("m", code="upstream_cut"), True),
        (("EPIPE",), Unreachable("m"), True),
        (("ENOTFOUND",), Unreachable("m", code="upstream_dns"), True),
        (("EAI_AGAIN",), Unreachable("m", code="upstream_dns"), True),
        (("ETIMEDOUT",), TimedOut("connect", 1), True),
        (("ETIMEDOUT",), Stalled(1), True),
        (("upstream_tls",), Unreachable("m", code="upstream_tls"), True),
        (("ECONNREFUSED",), Unreachable("m", code="upstream_dns"), False),
        (("ECONNREFUSED",), TimedOut("connect", 1), False),
        (("ENOTFOUND",), Garbled("m", code="upstream_cut"), False),
        ((), Unreachable("m"), False),
        ((), Garbled("m"), True),
        ((), refused(500), True),
    ],
)
def test_configured_errors_decide_for_the_network_only(
    names: tuple[str, ...], fault: PlexusError, retry: bool
) -> None:
    assert verdict(fault, Failover(retryable_errors=names)).retry == retry
