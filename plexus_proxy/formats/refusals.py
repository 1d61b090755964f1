"""A provider's error answer as a Refused."""

import time
from collections.abc import Mapping
from typing import Any, cast

from msgspec import structs

from plexus_proxy.errors import Garbled, Kind, Refused, is_of_credential
from plexus_proxy.formats.causes import Finding, find_cause, is_long
from plexus_proxy.formats.reports import Report, capped, read_json, read_report
from plexus_proxy.formats.retry_times import stated

_TYPE_STATUS = {
    "invalid_request_error": 400,
    "context_length_exceeded": 400,
    "cyber_policy": 400,
    "previous_response_not_found": 400,
    "invalid_encrypted_content": 400,
    "authentication_error": 401,
    "invalid_api_key": 401,
    "billing_error": 402,
    "permission_error": 403,
    "usage_not_included": 403,
    "not_found_error": 404,
    "model_not_found": 404,
    "conflict_error": 409,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "rate_limited": 429,
    "usage_limit_reached": 429,
    "insufficient_quota": 429,
    "api_error": 500,
    "server_error": 500,
    "internal_server_error": 500,
    "service_unavailable_error": 503,
    "overloaded": 503,
    "slow_down": 503,
    "server_is_overloaded": 503,
    "timeout_error": 504,
    "overloaded_error": 529,
    # google.rpc.Code
    "invalid_argument": 400,
    "failed_precondition": 400,
    "out_of_range": 400,
    "unauthenticated": 401,
    "permission_denied": 403,
    "not_found": 404,
    "aborted": 409,
    "already_exists": 409,
    "resource_exhausted": 429,
    "cancelled": 499,
    "unimplemented": 501,
    "unavailable": 503,
    "deadline_exceeded": 504,
}
"""The status an error type stands for when the HTTP status says 200."""

_STATUS_KIND: dict[int, Kind] = {
    400: "bad_request",
    404: "not_found",
    408: "timeout",
    413: "too_large",
    422: "bad_request",
    429: "rate_limit",
    503: "overloaded",
    504: "timeout",
    522: "timeout",
    524: "timeout",
    529: "overloaded",
}
"""401, 402 and 403 are missing on purpose: they are about the gateway's own account."""

_CODE_KIND: dict[str, Kind] = {
    "context_length_exceeded": "context_too_long",
    "model_context_window_exceeded": "context_too_long",
    "content_policy_violation": "content_policy",
    "content_filter": "content_policy",
    "cyber_policy": "content_policy",
    "model_not_found": "not_found",
    "model_not_supported": "not_found",
    "overloaded_error": "overloaded",
    "overloaded": "overloaded",
    "slow_down": "overloaded",
    "server_is_overloaded": "overloaded",
    "timeout_error": "timeout",
}
"""Types and codes that say more than the status."""

_CONTEXT_WORDS = (
    "prompt is too long",
    "maximum context length",
    "context length exceeded",
    "exceed context limit",
    "exceeds the context window",
    "exceeds the maximum number of tokens",
    "input is too long",
)
_ERROR_FIELDS = ("error", "errorMessage", "message", "detail")
_KEY_INVALID = "api_key_invalid"
"""Google answers a bad key with 400 and this reason."""


def read_refusal(
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    *,
    in_stream: bool = False,
    now_s: float | None = None,
) -> Refused:
    """`headers` have lower-case names. A status below 400 (an error event, an error object in a
    200 answer) is replaced by the one the error's type stands for. `now_s` is the epoch time that
    instants are measured from unless the provider sends its own; None: now."""
    report = read_report(status, headers, body)
    if status < 400:
        status = _implied_status(report.words)
    if status == 400 and _KEY_INVALID in report.reasons:
        status = 401
    report = structs.replace(report, status=status)
    found = find_cause(report)
    wait = stated(report, found, time.time() if now_s is None else now_s)
    if found.cause in ("rate_limit", "overloaded") and is_long(report, wait and wait.seconds):
        found = found._replace(cause="quota")
    message = report.message or f"The provider answered {status} without a message."
    return Refused(
        capped(message),
        upstream_status=status,
        kind=_kind(report, found),
        cause=found.cause,
        account_wide=found.account_wide,
        body=body,
        headers=headers,
        code=next((each for each in report.words if not each.isdigit()), None),
        retry_after_s=wait.seconds if wait else None,
        retry_after_from=wait.source if wait else None,
        in_stream=in_stream,
    )


def error_of_answer(body: bytes) -> Refused | Garbled:
    """What to raise for a 200 answer that holds no answer: the error it holds, if it does."""
    value = read_json(body)
    fields = cast("dict[str, Any]", value) if isinstance(value, dict) else {}
    if any(fields.get(name) for name in _ERROR_FIELDS):
        return read_refusal(200, {}, body)
    return Garbled("The provider's answer holds no message.")


def _implied_status(words: list[str]) -> int:
    for each in words:
        if len(each) == 3 and each.isdecimal() and 400 <= int(each) <= 599:
            return int(each)
        if each in _TYPE_STATUS:
            return _TYPE_STATUS[each]
    return 500


def _kind(report: Report, found: Finding) -> Kind:
    """What the client is told it is."""
    if is_of_credential(report.status, found.cause):
        return "upstream_broken"
    if found.cause == "policy":
        return "content_policy"
    if found.cause == "quota":
        return "rate_limit"
    for each in report.words:
        if each in _CODE_KIND:
            return _CODE_KIND[each]
    if report.status in (400, 413, 422) and report.says(*_CONTEXT_WORDS):
        return "context_too_long"
    return _STATUS_KIND.get(report.status, "upstream_broken")
