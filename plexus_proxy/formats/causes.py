"""Why a provider refused, and whether that concerns the whole account.

Codes count for more than words, words for more than the status. Source: provider-errors.md §2-9 of
the design notes; gemini-cli, googleQuotaErrors.ts; the vendors' error references.
"""

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple, cast

from plexus_proxy.errors import RefusalCause
from plexus_proxy.formats.reports import Report


class Finding(NamedTuple):
    cause: RefusalCause
    account_wide: bool = False
    is_terminal: bool = False
    """Only a reset of its own ends it: delays the provider names are not about it."""


_CALLER = Finding("caller")
_POLICY = Finding("policy")
_AUTH = Finding("auth", account_wide=True, is_terminal=True)
_BILLING = Finding("billing", account_wide=True, is_terminal=True)
_FORBIDDEN = Finding("permission", is_terminal=True)
_BARRED = Finding("permission", account_wide=True, is_terminal=True)
_WINDOW = Finding("quota", account_wide=True)
_MODEL_QUOTA = Finding("quota")
_NO_QUOTA = Finding("quota", is_terminal=True)
_DAILY = Finding("quota", is_terminal=True)
_BUSY = Finding("overloaded")
_LIMITED = Finding("rate_limit")
_MODEL = Finding("model")
_TIMEOUT = Finding("timeout")
_DEADLINE = Finding("deadline")
_SERVER = Finding("server")

_BY_REASON: dict[str, Finding] = {
    "enforced_spend_limit_reached": Finding("quota", account_wide=True, is_terminal=True),
    "openrouter_free_tier_daily": _DAILY,
    "api_key_invalid": _AUTH,
    "validation_required": _BARRED,
    "insufficient_g1_credits_balance": _BILLING,
    "model_capacity_exhausted": _BUSY,
    "model_capacity_exceeded": _BUSY,
    "quota_exhausted": _MODEL_QUOTA,
}
"""Details say more than codes."""

_BY_CODE: dict[str, Finding] = {
    "context_length_exceeded": _CALLER,
    "model_context_window_exceeded": _CALLER,
    "previous_response_not_found": _CALLER,
    "invalid_encrypted_content": _CALLER,
    "content_policy_violation": _POLICY,
    "content_filter": _POLICY,
    "cyber_policy": _POLICY,
    "invalid_api_key": _AUTH,
    "authentication_error": _AUTH,
    "insufficient_quota": _BILLING,
    "billing_error": _BILLING,
    "billing_hard_limit_reached": _BILLING,
    "usage_limit_reached": _WINDOW,
    "usage_not_included": _BARRED,
    "unsupported_country_region_territory": _BARRED,
    "model_not_found": _MODEL,
    "model_not_supported": _MODEL,
    "rate_limit_exceeded": _LIMITED,
    "rate_limited": _LIMITED,
    "overloaded_error": _BUSY,
    "overloaded": _BUSY,
    "slow_down": _BUSY,
    "server_is_overloaded": _BUSY,
    "timeout_error": _TIMEOUT,
}

_BY_STATUS: dict[int, Finding] = {
    400: _CALLER,
    401: _AUTH,
    402: _BILLING,
    403: _FORBIDDEN,
    404: _MODEL,
    408: _TIMEOUT,
    410: _MODEL,
    413: _CALLER,
    422: _CALLER,
    429: _LIMITED,
    503: _BUSY,
    504: _TIMEOUT,
    522: _TIMEOUT,
    524: _TIMEOUT,
    529: _BUSY,
}
"""All others are the server's."""

_CREDIT_WORDS = (
    "insufficient_quota",
    "credit balance is too low",
    "used up your points",
    "out of credits",
    "balance too low",
    "insufficient balance",
    "insufficient funds",
    "account balance",
    "available balance",
    "out of budget",
)
_QUOTA_WORDS = ("quota exceeded", "quota limit", "usage limit")
"""On a 400 these mean a quota that is used up; on a 429 they may be about a short window."""
_DEADLINE_WORDS = ("deadline expired", "deadline_exceeded", "deadline exceeded")
_PREMIUM_WORDS = ("premium model quota", "out of premium requests")
_MODERATION_WORDS = ("moderation", "flagged")
_OF_REQUEST = re.compile(
    r"\b(?:item|response|conversation|file|container) with id\b.{0,120}\bnot found"
    r"|\bfile not found: file_|\bno such file object|\bcachedcontent not found"
    r"|\baccess the file \S{1,80} or it may not exist"
)
"""What a request refers to and this account does not have; OpenAI, Anthropic and Google."""
_CLIENT_STATUSES = (400, 401, 402, 403, 404, 413, 422, 429)
_GOOGLE_TEMPORARY = (429, 499, 503)

_NOTHING_ALLOWED = re.compile(r"\blimit: 0(?![.,]?\d)")

_LONG_S = 300.0
"""Google's clients wait for a limit that is over sooner, and give up a longer one."""


def find_cause(report: Report) -> Finding:
    status = report.status
    if status in (413, 422):
        return _CALLER
    if (special := _special(report)) is not None:
        return special
    for each in report.reasons:
        if each in _BY_REASON:
            return _BY_REASON[each]
    if status in _GOOGLE_TEMPORARY and (google := _google(report)) is not None:
        return google
    if _says_deadline(report):
        return _DEADLINE
    for each in report.words:
        if each in _BY_CODE:
            return _of_limit(_BY_CODE[each], report)
    return _of_limit(_by_words(report) or _BY_STATUS.get(status, _SERVER), report)


def is_long(report: Report, seconds: float | None) -> bool:
    """A short limit of Google's that takes so long that it is a quota's window."""
    of_google = "rate_limit_exceeded" in report.reasons or "resource_exhausted" in report.words
    capacity = report.says("exhausted your capacity")
    return (of_google or capacity) and seconds is not None and seconds > _LONG_S


def quota_names(report: Report) -> Iterator[str]:
    """Of google.rpc.QuotaFailure and ErrorInfo."""
    for found in report.details:
        limit = found.get("quota_limit")
        if isinstance(limit, str):
            yield limit
        violations = found.get("violations")
        for each in cast("list[object]", violations) if isinstance(violations, list) else ():
            if isinstance(each, dict):
                name = cast("Mapping[str, object]", each).get("quotaId")
                if isinstance(name, str):
                    yield name


def is_daily(report: Report) -> bool:
    return any("PerDay" in each or "Daily" in each for each in quota_names(report))


def is_free_tier_daily(report: Report) -> bool:
    """OpenRouter's allowance of requests to free models."""
    return report.says("free-models-per-day") or "openrouter_free_tier_daily" in report.reasons


def _special(report: Report) -> Finding | None:
    """What would be taken for something else by its status or code."""
    match report.status:
        case 402 if report.says("fewer max_tokens"):
            return Finding("unaffordable")
        case 402 | 429 if report.says(*_PREMIUM_WORDS):
            return _MODEL_QUOTA
        case 403 if report.says("disabled in this account for violation"):
            return _BARRED
        case 403 if report.says(*_MODERATION_WORDS) or any(
            "flagged_input" in each for each in report.details
        ):
            return _POLICY
        case 403 | 404 if _OF_REQUEST.search(report.text):
            return Finding("incidental")
        case 400 if report.says("only authorized for use with"):
            # Anthropic, about a token of a subscription; the same request may pass elsewhere
            return Finding("incidental")
        case _:
            return None


def _google(report: Report) -> Finding | None:
    if _NOTHING_ALLOWED.search(report.text):
        return _NO_QUOTA
    if is_daily(report):
        return _DAILY
    if report.says("exhausted your capacity", "model is at capacity"):
        return _BUSY
    return None


def _says_deadline(report: Report) -> bool:
    if report.status in _CLIENT_STATUSES:
        return False
    return report.says(*_DEADLINE_WORDS) or "deadline_exceeded" in report.words


def _by_words(report: Report) -> Finding | None:
    status = report.status
    if status in (400, 403, 429) and report.says(*_CREDIT_WORDS):
        return _BILLING
    if status == 400 and report.says(*_QUOTA_WORDS):
        return _WINDOW
    return None


def _of_limit(found: Finding, report: Report) -> Finding:
    """Which limit a refusal for too many requests is about."""
    if found.cause != "rate_limit":
        return found
    if is_free_tier_daily(report):
        return _DAILY
    if report.says("monthly usage limit reached"):
        return _WINDOW
    return _anthropic_window(report.headers) or found


def _anthropic_window(headers: Mapping[str, str]) -> Finding | None:
    """Without the headers of a subscription's windows it is a burst limit."""
    rejected = rejected_windows(headers)
    if not rejected:
        return None
    shared = [headers.get(f"{UNIFIED}{name}-status", "") for name in ("5h", "7d")]
    of_model = any(each not in _SHARED for each in rejected)
    if of_model and all(status.startswith("allowed") for status in shared):
        return _MODEL_QUOTA
    return _WINDOW


UNIFIED = "anthropic-ratelimit-unified-"
_SHARED = ("", "5h", "7d")


def rejected_windows(headers: Mapping[str, str]) -> list[str]:
    """The windows of an Anthropic subscription that refused: "5h", "7d", "7d_sonnet", "" for
    whichever it was. Paid extra usage ("overage") is none of them."""
    statuses = {
        name.removeprefix(UNIFIED).removesuffix("status").removesuffix("-"): value
        for name, value in headers.items()
        if name.startswith(UNIFIED) and name.endswith("status")
    }
    statuses.pop("overage", None)
    if not statuses and UNIFIED + "reset" in headers:
        return [""]
    return [name for name, value in statuses.items() if value.strip().lower() == "rejected"]
