"""Everything that can go wrong, by whose fault it is.

PlexusError                     status, kind, code; the message is safe to show to the client
├─ ClientFault                  the request is wrong; no other provider would take it
│  ├─ BadRequest 400            malformed or contradictory
│  │  └─ ContextTooLong 400
│  ├─ Unauthenticated 401       missing, unknown or malformed key (one message for all three)
│  ├─ Forbidden 403
│  ├─ NotFound 404              no such path or object
│  ├─ UnknownModel 404
│  ├─ MethodNotAllowed 405
│  ├─ SlowRequest 408           head or body did not arrive in time
│  ├─ TooLarge 413
│  ├─ UnsupportedMedia 415
│  └─ QuotaExceeded 429
├─ UpstreamFault                the provider failed
│  ├─ Unreachable 502           no connection, or it broke before an answer
│  ├─ Refused                   the provider answered with an error status or an error event
│  ├─ TimedOut 504              one phase took too long (PHASES)
│  ├─ Stalled 504               the stream fell silent
│  └─ Garbled 502               the answer cannot be read, or ended before it was complete
├─ NoCandidate 503              every target of the alias was filtered out
│  ├─ NoAllowance 429           … because each waits for its quota
│  └─ Busy 429                  … because each serves as many requests as it may
└─ AllAttemptsFailed            several candidates were tried, none could serve
"""

from collections.abc import Mapping
from typing import ClassVar, Literal, get_args

Kind = Literal[
    "bad_request",
    "context_too_long",
    "auth",
    "billing",
    "permission",
    "not_found",
    "method_not_allowed",
    "request_timeout",
    "too_large",
    "unsupported_media",
    "rate_limit",
    "overloaded",
    "timeout",
    "upstream_broken",
    "content_policy",
    "internal",
]
"""What an error means, independent of any wire format; each format renders it in its own words."""

KINDS: tuple[str, ...] = get_args(Kind)

Phase = Literal["connect", "write", "headers", "first_content", "idle", "total"]
"""The phases of an attempt that have a time-out of their own."""
PHASES: tuple[Phase, ...] = get_args(Phase)

RefusalCause = Literal[
    "caller",  # the request is wrong
    "policy",  # its content is refused
    "unaffordable",  # it costs more than the credit that is left; a smaller one may pass
    "incidental",  # it says nothing about the provider; another one may do better
    "auth",
    "permission",
    "billing",
    "quota",  # a plan window or a daily quota is used up
    "rate_limit",  # short
    "model",  # unknown, or not available to us
    "overloaded",
    "server",
    "timeout",
    "deadline",  # the request's own deadline expired at the provider
]
"""Why a provider refused, which decides who may be asked next and for how long it is left alone."""

RetrySource = Literal["header", "body", "text"]
"""Where a provider said when to come back."""

_CREDENTIAL_CAUSES = frozenset({"auth", "permission", "billing"})
_CREDENTIAL_STATUSES = frozenset({401, 402, 403})
_HARD_CAUSES = _CREDENTIAL_CAUSES | {"quota"}
_CREDENTIAL_REFUSED = "The provider refused the gateway's credential."


class PlexusError(Exception):
    """Root of all expected errors. `message` is written for the client and holds no secret."""

    status: int = 500
    kind: Kind = "internal"
    code: str | None = None

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.retry_after_s = retry_after_s
        if code is not None:
            self.code = code

    @property
    def told(self) -> str:
        """What the client is told; `message` is what the records keep."""
        return self.message


class ClientFault(PlexusError):
    """The request is wrong; trying another provider would not help."""

    status = 400
    kind = "bad_request"


class BadRequest(ClientFault):
    """Malformed or contradictory request."""

    code = "invalid_request"


class ContextTooLong(ClientFault):
    kind = "context_too_long"
    code = "context_length_exceeded"


class Unauthenticated(ClientFault):
    """One message for missing, unknown and malformed keys, so that nothing can be enumerated."""

    status = 401
    kind = "auth"
    code = "invalid_api_key"

    def __init__(self) -> None:
        super().__init__("Invalid or missing API key.")


class Forbidden(ClientFault):
    status = 403
    kind = "permission"
    code = "permission_denied"


class NotFound(ClientFault):
    status = 404
    kind = "not_found"
    code = "not_found"


class UnknownModel(ClientFault):
    status = 404
    kind = "not_found"
    code = "model_not_found"

    def __init__(self, model: str, *, reason: str = "") -> None:
        super().__init__(f"Model '{model}' not found{': ' + reason if reason else ''}.")
        self.param = "model"


class MethodNotAllowed(ClientFault):
    status = 405
    kind = "method_not_allowed"
    code = "method_not_allowed"

    def __init__(self, message: str, *, allowed: tuple[str, ...]) -> None:
        super().__init__(message)
        self.allowed = allowed


class SlowRequest(ClientFault):
    status = 408
    kind = "request_timeout"
    code = "request_timeout"


class TooLarge(ClientFault):
    status = 413
    kind = "too_large"
    code = "request_too_large"


class UnsupportedMedia(ClientFault):
    status = 415
    kind = "unsupported_media"
    code = "unsupported_media_type"


class QuotaExceeded(ClientFault):
    status = 429
    kind = "rate_limit"
    code = "quota_exceeded"


class UpstreamFault(PlexusError):
    """The provider failed; another candidate may do better."""

    status = 502
    kind = "upstream_broken"


class Unreachable(UpstreamFault):
    """No connection, or it broke before a status line arrived."""

    code = "upstream_unreachable"


class Refused(UpstreamFault):
    """The provider answered with an error.

    `upstream_status` is its HTTP status, or the one its error event stands for; `body` is the raw
    error body (bounded, provider secrets already removed), so that a client of the same format
    gets the provider's own words. `in_stream` marks an error event inside a 200 stream.
    `account_wide` says that it concerns all models of the account, not the one asked for.
    """

    def __init__(
        self,
        message: str,
        *,
        upstream_status: int,
        kind: Kind,
        cause: RefusalCause = "server",
        account_wide: bool = False,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        code: str | None = None,
        retry_after_s: float | None = None,
        retry_after_from: RetrySource | None = None,
        in_stream: bool = False,
    ) -> None:
        super().__init__(message, code=code, retry_after_s=retry_after_s)
        self.upstream_status = upstream_status
        self.kind = kind
        self.status = KIND_STATUS[kind]
        self.cause: RefusalCause = cause
        self.account_wide = account_wide
        self.body = body
        self.headers: Mapping[str, str] = headers or {}
        self.retry_after_from: RetrySource | None = retry_after_from
        self.in_stream = in_stream

    @property
    def hard(self) -> bool:
        """Asking again before the time is over is in vain."""
        if self.cause == "rate_limit":
            return self.retry_after_s is not None
        return self.cause in _HARD_CAUSES

    @property
    def of_credential(self) -> bool:
        """The gateway's own credential is refused, which is no business of the client's."""
        return is_of_credential(self.upstream_status, self.cause)

    @property
    def told(self) -> str:
        return _CREDENTIAL_REFUSED if self.of_credential else self.message


def is_of_credential(upstream_status: int, cause: RefusalCause) -> bool:
    """See Refused.of_credential. Refused content has the status 403 too."""
    if cause == "policy":
        return False
    return upstream_status in _CREDENTIAL_STATUSES or cause in _CREDENTIAL_CAUSES


class TimedOut(UpstreamFault):
    """A phase of the attempt took longer than its limit."""

    status = 504
    kind = "timeout"

    CODES: ClassVar[dict[Phase, str]] = {
        "connect": "upstream_connect_timeout",
        "write": "upstream_write_timeout",
        "headers": "upstream_headers_timeout",
        "first_content": "upstream_first_content_timeout",
        "idle": "upstream_idle_timeout",
        "total": "upstream_timeout",
    }

    def __init__(self, phase: Phase, limit_s: float, *, hurried: bool = False) -> None:
        super().__init__(
            f"The provider exceeded the {phase} time-out of {limit_s:g} s.", code=self.CODES[phase]
        )
        self.phase: Phase = phase
        self.hurried = hurried
        """It had less time than its own limits give it, as others had used that up."""


class Stalled(TimedOut):
    """The stream fell silent, began too late or became too slow. The last two are stalls by the
    operator's own measure (`is_slow`)."""

    LATE: ClassVar[str] = "upstream_late_start"
    SLOW: ClassVar[str] = "upstream_slow_stream"

    def __init__(self, limit_s: float, message: str = "", *, code: str | None = None) -> None:
        super().__init__("idle", limit_s)
        self.message = message or self.message
        self.code = code or self.code

    @property
    def is_slow(self) -> bool:
        return self.code in (self.LATE, self.SLOW)

    @classmethod
    def late(cls, limit_s: float) -> "Stalled":
        message = f"The provider's stream did not begin within {limit_s:g} s."
        return cls(limit_s, message, code=cls.LATE)

    @classmethod
    def slow(cls, bytes_per_s: float, window_s: float) -> "Stalled":
        message = f"The provider's stream fell below {bytes_per_s:g} bytes/s for {window_s:g} s."
        return cls(window_s, message, code=cls.SLOW)


class Garbled(UpstreamFault):
    """The provider's answer cannot be read, or ended before it was complete."""

    code = "upstream_garbled"
    EMPTY: ClassVar = "upstream_empty"
    """The code of an answer that is complete and holds nothing."""
    TOO_LARGE: ClassVar = "upstream_too_large"


class NoCandidate(PlexusError):
    """Every target of the alias was filtered out; `reasons` says why, target by target."""

    status = 503
    kind = "overloaded"
    code = "no_candidate"

    def __init__(
        self,
        message: str,
        *,
        reasons: Mapping[str, str] | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message, retry_after_s=retry_after_s)
        self.reasons: Mapping[str, str] = reasons or {}


class NoAllowance(NoCandidate):
    """Every target waits for its quota or rate limit."""

    status = 429
    kind = "rate_limit"
    code = "rate_limit_exceeded"


class Busy(NoCandidate):
    """Every target serves as many requests as it may."""

    status = 429
    kind = "rate_limit"
    code = "concurrency_limit"


class AllAttemptsFailed(PlexusError):
    """Several candidates were tried; carries the kind and status of the last fault."""

    def __init__(self, message: str, *, last: PlexusError) -> None:
        super().__init__(message, code=last.code, retry_after_s=last.retry_after_s)
        self.last = last
        self.status = last.status
        self.kind = last.kind


KIND_STATUS: dict[Kind, int] = {
    "bad_request": 400,
    "context_too_long": 400,
    "auth": 401,
    "billing": 402,
    "permission": 403,
    "not_found": 404,
    "method_not_allowed": 405,
    "request_timeout": 408,
    "too_large": 413,
    "unsupported_media": 415,
    "rate_limit": 429,
    "overloaded": 503,
    "timeout": 504,
    "upstream_broken": 502,
    "content_policy": 400,
    "internal": 500,
}
"""The status a kind has unless a format says otherwise (Messages: overloaded is 529)."""
