"""What may go wrong on the way to a provider, mapped to our faults where it happens, and what each
means for the next candidate and for the time after."""

import socket
import ssl

from msgspec import Struct

from plexus_proxy.config.model import Failover
from plexus_proxy.errors import (
    Garbled,
    PlexusError,
    RefusalCause,
    Refused,
    Stalled,
    TimedOut,
    Unreachable,
    UpstreamFault,
)
from plexus_proxy.limits.cooling import Cause, Cooling

_MAX_MESSAGE_CHARS = 500

_CUT = "upstream_cut"
_ERRNO_CODES: dict[str, frozenset[str]] = {
    "ECONNREFUSED": frozenset({"upstream_unreachable"}),
    "EHOSTUNREACH": frozenset({"upstream_unreachable"}),
    "ENETUNREACH": frozenset({"upstream_unreachable"}),
    "ECONNRESET": frozenset({"upstream_unreachable", _CUT}),
    "EPIPE": frozenset({"upstream_unreachable", _CUT}),
    "ENOTFOUND": frozenset({"upstream_dns"}),
    "EAI_AGAIN": frozenset({"upstream_dns"}),
    "ETIMEDOUT": frozenset({TimedOut.CODES["connect"]}),
}
"""The codes of our faults for the names of the operating system's."""

_FINAL_CAUSES: frozenset[RefusalCause] = frozenset({"caller", "policy"})
"""Every other provider would say the same."""

_EMPTY_CAUSES: frozenset[RefusalCause] = frozenset({"billing", "quota"})

_COOLING_CAUSES: dict[RefusalCause, Cause] = {
    "auth": "auth",
    "permission": "permission",
    "billing": "billing",
    "quota": "quota",
    "rate_limit": "rate_limit",
    "model": "model",
    "overloaded": "overloaded",
    "server": "server",
    "timeout": "timeout",
}
"""What is missing is about the request, not about the target."""


class Verdict(Struct, frozen=True, gc=False):
    """What follows from a fault."""

    retry: bool
    """The next candidate may do better."""
    cooling: Cooling | None
    """That the target is to be left alone; None: it did nothing wrong."""


def verdict(fault: PlexusError, failover: Failover, *, mended: bool = False) -> Verdict:
    """The one table of what is tried elsewhere and of what cools down. Whether fail-over is
    enabled at all is not asked here. `mended`: the request had been refused before, for something
    that others may well take."""
    if not isinstance(fault, UpstreamFault):
        return Verdict(False, None)
    return Verdict(_is_retryable(fault, failover, mended), _cooling(fault))


def _is_retryable(fault: UpstreamFault, failover: Failover, mended: bool) -> bool:
    if isinstance(fault, Refused):
        status = fault.upstream_status
        if status == 402 or (status == 400 and fault.cause in _EMPTY_CAUSES):
            return True
        if failover.retryable_status_codes is not None:
            return status in failover.retryable_status_codes
        if mended and status == 400 and fault.cause == "caller":
            return True
        return fault.cause not in _FINAL_CAUSES
    connecting = isinstance(fault, TimedOut) and fault.phase == "connect"
    of_network = isinstance(fault, Unreachable) or connecting or fault.code == _CUT
    if failover.retryable_errors is None or not of_network:
        return True
    return any(
        fault.code == name or fault.code in _ERRNO_CODES.get(name.upper(), ())
        for name in failover.retryable_errors
    )


def _cooling(fault: UpstreamFault) -> Cooling | None:
    match fault:
        case Refused():
            cause = _COOLING_CAUSES.get(fault.cause)
        case Stalled(is_slow=True):
            cause = "stall"
        case TimedOut(hurried=True):
            cause = None
        case TimedOut():
            cause = "timeout"
        case Garbled(code=Garbled.EMPTY | Garbled.TOO_LARGE):
            cause = None  # the answer to this request, which says nothing about others
        case Garbled() if fault.code != _CUT:
            cause = "server"
        case _:
            cause = "network"
    if cause is None:
        return None
    refused = fault if isinstance(fault, Refused) else None
    return Cooling(
        cause=cause,
        hard=refused is not None and refused.hard,
        account_wide=refused is not None and refused.account_wide,
        seconds=fault.retry_after_s,
        source=(refused and refused.retry_after_from) or "default",
        message=fault.message[:_MAX_MESSAGE_CHARS],
    )


def as_fault(error: OSError | ValueError) -> Unreachable:
    """The fault of a connection that could not be made. Messages name no URL and no header."""
    match error:
        case ssl.SSLError():  # CertificateError is one; both are ValueErrors or OSErrors too
            return Unreachable(
                "The provider's TLS certificate or handshake was refused.", code="upstream_tls"
            )
        case socket.gaierror():
            return Unreachable(
                "The provider's host name could not be resolved.", code="upstream_dns"
            )
        case ValueError():
            return Unreachable("The provider's base URL or a configured header is not valid.")
        case _:
            return Unreachable("The provider could not be connected to.")
