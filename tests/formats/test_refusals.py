"""What providers' errors mean: whose fault, whom it concerns, for how long."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plexus_proxy.errors import RefusalCause, Refused
from plexus_proxy.formats.refusals import read_refusal

NOON_S = 1795694400.0  # Thu, 26 Nov 2026 12:00:00 GMT, a day in standard time
MAX_S = 8 * 86400.0


def read(status: int, body: Any, headers: dict[str, str] | None = None) -> Refused:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return read_refusal(status, headers or {}, data, now_s=NOON_S)


def anthropic(kind: str, message: str = "m", **more: Any) -> dict[str, Any]:
    return {"type": "error", "error": {"type": kind, "message": message, **more}}


def openai(kind: str, code: str | None = None, message: str = "m", **more: Any) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": None, "code": code, **more}}


def google(code: int, status: str, *details: dict[str, Any], message: str = "m") -> dict[str, Any]:
    error = {"code": code, "message": message, "status": status, "details": list(details)}
    return {"error": error}


def router(code: int | str, message: str = "m", **metadata: Any) -> dict[str, Any]:
    return {"error": {"code": code, "message": message, "metadata": metadata}}


def info(reason: str, **metadata: str) -> dict[str, Any]:
    kind = "type.googleapis.com/google.rpc.ErrorInfo"
    return {
        "@type": kind,
        "reason": reason,
        "domain": "cloudcode-pa.googleapis.com",
        "metadata": metadata,
    }


def delay(span: str) -> dict[str, Any]:
    return {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": span}


def quota(name: str) -> dict[str, Any]:
    kind = "type.googleapis.com/google.rpc.QuotaFailure"
    return {"@type": kind, "violations": [{"quotaId": name, "quotaValue": "50"}]}


def at(seconds: float) -> str:
    return str(int(NOON_S + seconds))


def unified(**values: str) -> dict[str, str]:
    return {
        f"anthropic-ratelimit-unified-{name.lstrip('_').replace('__', '-')}": value
        for name, value in values.items()
    }


EXHAUSTED = "RESOURCE_EXHAUSTED"
SPEND = {"details": {"error_code": "enforced_spend_limit_reached"}}
LIMITED = openai("requests", "rate_limit_exceeded")
CODEX = {"type": "usage_limit_reached", "message": "m", "plan_type": "plus"}

Case = tuple[
    int, Any, dict[str, str], RefusalCause, bool, float | None, str | None
]  # cause, account-wide, seconds, source

INCIDENTAL = ("incidental", False, None, None)
ANTHROPIC: list[Case] = [
    (400, anthropic("invalid_request_error"), {}, "caller", False, None, None),
    (
        400,
        anthropic("invalid_request_error", "Your credit balance is too low"),
        {},
        "billing",
        True,
        None,
        None,
    ),
    (
        400,
        anthropic("invalid_request_error", "You have reached your API usage limits."),
        {},
        "quota",
        True,
        None,
        None,
    ),
    (
        400,
        anthropic("invalid_request_error", "only authorized for use with Claude Code"),
        {},
        "incidental",
        False,
        None,
        None,
    ),
    (
        401,
        anthropic("authentication_error"),
        {"retry-after": "5"},
        "auth",
        True,
        None,
        None,
    ),
    (402, anthropic("billing_error"), {}, "billing", True, None, None),
    (403, anthropic("permission_error"), {}, "permission", False, None, None),
    (404, anthropic("not_found_error"), {}, "model", False, None, None),
    (409, anthropic("conflict_error"), {}, "server", False, None, None),
    (413, anthropic("request_too_large"), {}, "caller", False, None, None),
    (
        429,
        anthropic("rate_limit_error"),
        {"retry-after": "12"},
        "rate_limit",
        False,
        12,
        "header",
    ),
    (429, anthropic("rate_limit_error"), {}, "rate_limit", False, None, None),
    (
        429,
        anthropic("rate_limit_error"),
        {
            "anthropic-ratelimit-requests-remaining": "7",
            "anthropic-ratelimit-requests-reset": "2026-11-26T12:09:00Z",
            "anthropic-ratelimit-tokens-remaining": "0",
            "anthropic-ratelimit-tokens-reset": "2026-11-26T12:00:40Z",
        },
        "rate_limit",
        False,
        40,
        "header",
    ),
    (
        429,
        anthropic("rate_limit_error", **SPEND),
        {},
        "quota",
        True,
        4.5 * 86400,
        "body",
    ),
    (
        429,
        anthropic("rate_limit_error"),
        unified(
            status="rejected",
            reset=at(500),
            _5h__status="rejected",
            _5h__reset=at(700),
            _7d__status="allowed",
            _7d__reset=at(9000),
        )
        | {"retry-after": "3"},
        "quota",
        True,
        700,
        "header",
    ),
    (
        429,
        anthropic("rate_limit_error"),
        unified(
            status="rejected",
            reset=at(90),
            _5h__status="allowed",
            _7d__status="allowed_warning",
            _7d_opus__status="rejected",
            _7d_opus__reset="2026-11-26T13:00:00Z",
        ),
        "quota",
        False,
        3600,
        "header",
    ),
    (
        429,
        anthropic("rate_limit_error"),
        unified(reset=at(80)),
        "quota",
        True,
        80,
        "header",
    ),
    (
        429,
        anthropic("rate_limit_error"),
        unified(status="allowed", overage__status="rejected"),
        "rate_limit",
        False,
        None,
        None,
    ),
    (500, anthropic("api_error"), {}, "server", False, None, None),
    (504, anthropic("timeout_error"), {}, "timeout", False, None, None),
    (
        529,
        anthropic("overloaded_error"),
        {"retry-after": "2"},
        "overloaded",
        False,
        2,
        "header",
    ),
    (404, anthropic("not_found_error", "File not found: file_011"), {}, *INCIDENTAL),
    (404, anthropic("not_found_error", "model: claude-1"), {}, "model", False, None, None),
    (200, anthropic("overloaded_error"), {}, "overloaded", False, None, None),
    (200, anthropic("authentication_error"), {}, "auth", True, None, None),
]
GOOGLE: list[Case] = [
    (400, google(400, "INVALID_ARGUMENT"), {}, "caller", False, None, None),
    (
        400,
        google(400, "INVALID_ARGUMENT", info("API_KEY_INVALID")),
        {},
        "auth",
        True,
        None,
        None,
    ),
    (401, google(401, "UNAUTHENTICATED"), {}, "auth", True, None, None),
    (403, google(403, "PERMISSION_DENIED"), {}, "permission", False, None, None),
    (
        403,
        google(403, "PERMISSION_DENIED", info("VALIDATION_REQUIRED")),
        {},
        "permission",
        True,
        None,
        None,
    ),
    (
        403,
        google(
            403,
            "PERMISSION_DENIED",
            message="Gemini has been disabled in this account for violation of Terms of Service.",
        ),
        {},
        "permission",
        True,
        None,
        None,
    ),
    (404, google(404, "NOT_FOUND"), {}, "model", False, None, None),
    (
        403,
        google(
            403,
            "PERMISSION_DENIED",
            message="You do not have permission to access the File abc or it may not exist.",
        ),
        {},
        *INCIDENTAL,
    ),
    (
        403,
        google(403, "PERMISSION_DENIED", message="CachedContent not found (or permission denied)"),
        {},
        *INCIDENTAL,
    ),
    (
        429,
        google(429, EXHAUSTED, delay("34.07s")),
        {},
        "rate_limit",
        False,
        34.07,
        "body",
    ),
    (
        429,
        [google(429, EXHAUSTED, delay("900ms"))],
        {},
        "rate_limit",
        False,
        0.9,
        "body",
    ),
    (429, google(429, EXHAUSTED, delay("51820.6s")), {}, "quota", False, 51820.6, "body"),
    (
        429,
        google(429, EXHAUSTED, info("RATE_LIMIT_EXCEEDED", quotaResetDelay="1m30s")),
        {},
        "rate_limit",
        False,
        90,
        "body",
    ),
    (
        429,
        google(429, EXHAUSTED, info("QUOTA_EXHAUSTED", quotaResetDelay="18h31m10s")),
        {},
        "quota",
        False,
        66670,
        "body",
    ),
    (
        429,
        google(429, EXHAUSTED, info("QUOTA_EXHAUSTED", quotaResetTimeStamp="2026-11-26T12:01:00Z")),
        {},
        "quota",
        False,
        60,
        "body",
    ),
    (
        503,
        google(503, "UNAVAILABLE", info("MODEL_CAPACITY_EXHAUSTED"), delay("4s")),
        {},
        "overloaded",
        False,
        4,
        "body",
    ),
    (
        429,
        google(429, EXHAUSTED, info("INSUFFICIENT_G1_CREDITS_BALANCE")),
        {},
        "billing",
        True,
        None,
        None,
    ),
    (
        429,
        google(429, EXHAUSTED, delay("12s"), message="Quota exceeded, limit: 0, model: x"),
        {},
        "quota",
        False,
        None,
        None,
    ),
    (
        429,
        google(429, EXHAUSTED, quota("GenerateRequestsPerDayPerProject"), delay("12s")),
        {"retry-after": "12"},
        "quota",
        False,
        20 * 3600,
        "body",
    ),
    (
        429,
        google(429, EXHAUSTED, quota("GenerateRequestsPerMinute")),
        {},
        "rate_limit",
        False,
        60,
        "body",
    ),
    (
        429,
        google(429, EXHAUSTED, message="Quota exceeded. Please retry in 12.3s."),
        {},
        "rate_limit",
        False,
        12.3,
        "text",
    ),
    (
        429,
        google(429, EXHAUSTED, message="You have exhausted your capacity; reset after 39s."),
        {},
        "overloaded",
        False,
        39,
        "text",
    ),
    (
        429,
        {"error": {"message": json.dumps(google(429, EXHAUSTED, delay("7s")))}},
        {},
        "rate_limit",
        False,
        7,
        "body",
    ),
    (
        429,
        json.dumps(google(429, EXHAUSTED, delay("7s"))).replace(", ", ",\n,").encode(),
        {},
        "rate_limit",
        False,
        7,
        "body",
    ),
    (503, google(503, "UNAVAILABLE"), {}, "overloaded", False, None, None),
    (
        503,
        google(503, "UNAVAILABLE", message="Deadline expired before operation could complete."),
        {},
        "deadline",
        False,
        None,
        None,
    ),
    (504, google(504, "DEADLINE_EXCEEDED"), {}, "deadline", False, None, None),
    (499, google(499, "CANCELLED"), {}, "server", False, None, None),
]
OPENAI: list[Case] = [
    (
        400,
        openai("invalid_request_error", "context_length_exceeded"),
        {},
        "caller",
        False,
        None,
        None,
    ),
    (
        400,
        openai("invalid_request_error", "content_policy_violation"),
        {},
        "policy",
        False,
        None,
        None,
    ),
    (401, openai("invalid_request_error", "invalid_api_key"), {}, "auth", True, None, None),
    (403, openai("x", "unsupported_country_region_territory"), {}, "permission", True, None, None),
    (404, openai("invalid_request_error", "model_not_found"), {}, "model", False, None, None),
    (
        404,
        openai("invalid_request_error", None, "Item with id 'rs_1' not found. Items are not…"),
        {},
        *INCIDENTAL,
    ),
    (404, openai("x", None, "Conversation with id 'conv_1' not found."), {}, *INCIDENTAL),
    (404, openai("x", None, "No such File object: file-1"), {}, *INCIDENTAL),
    (
        429,
        openai("insufficient_quota", "insufficient_quota"),
        {"retry-after": "1"},
        "billing",
        True,
        None,
        None,
    ),
    (
        429,
        LIMITED,
        {"retry-after-ms": "250", "retry-after": "9"},
        "rate_limit",
        False,
        0.25,
        "header",
    ),
    (
        429,
        LIMITED,
        {
            "x-ratelimit-remaining-requests": "0",
            "x-ratelimit-reset-requests": "6m0s",
            "x-ratelimit-remaining-tokens": "9",
            "x-ratelimit-reset-tokens": "1h0m30s",
        },
        "rate_limit",
        False,
        360,
        "header",
    ),
    (
        429,
        openai("tokens", "rate_limit_exceeded", "Please try again in 20ms."),
        {"x-ratelimit-remaining-tokens": "3", "x-ratelimit-reset-tokens": "1h"},
        "rate_limit",
        False,
        0.02,
        "text",
    ),
    (429, LIMITED, {"x-ratelimit-reset-after": "4"}, "rate_limit", False, 4, "header"),
    (429, LIMITED, {"x-ratelimit-reset": at(8)}, "rate_limit", False, 8, "header"),
    (
        429,
        LIMITED,
        {"retry-after": "Thu, 26 Nov 2026 12:00:50 GMT"},
        "rate_limit",
        False,
        50,
        "header",
    ),
    (
        429,
        LIMITED,
        {
            "date": "Thu, 26 Nov 2026 10:00:00 GMT",
            "retry-after": "Thu, 26 Nov 2026 10:00:30 GMT",
        },
        "rate_limit",
        False,
        30,
        "header",
    ),
    (429, LIMITED, {"retry-after": "0"}, "rate_limit", False, None, None),
    (429, LIMITED, {"retry-after": "99999999"}, "rate_limit", False, MAX_S, "header"),
    (
        429,
        openai("x", None, "Monthly usage limit reached"),
        {},
        "quota",
        True,
        None,
        None,
    ),
    (500, openai("server_error"), {"retry-after": "3"}, "server", False, 3, "header"),
    (503, openai("server_error", "slow_down"), {}, "overloaded", False, None, None),
]
CODEX_CASES: list[Case] = [
    (429, {"error": CODEX | {"resets_at": NOON_S + 900}}, {}, "quota", True, 900, "body"),
    (
        429,
        {"error": CODEX | {"resets_in_seconds": 900}},
        {"retry-after": "5"},
        "quota",
        True,
        900,
        "body",
    ),
    (
        403,
        {"error": CODEX | {"resets_at": NOON_S - 9, "resets_in_seconds": 77}},
        {},
        "quota",
        True,
        77,
        "body",
    ),
    (200, {"type": "error", "error": CODEX}, {}, "quota", True, None, None),
    (
        429,
        {"error": CODEX},
        {
            "retry-after": "5",
            "x-codex-active-limit": "codex_bengalfox",
            "x-codex-primary-used-percent": "100",
            "x-codex-primary-reset-at": at(11),
            "x-codex-bengalfox-primary-used-percent": "40",
            "x-codex-bengalfox-primary-reset-at": at(22),
            "x-codex-bengalfox-secondary-used-percent": "100.0",
            "x-codex-bengalfox-secondary-reset-at": at(33),
        },
        "quota",
        True,
        33,
        "header",
    ),
    (429, openai("usage_not_included"), {}, "permission", True, None, None),
    (
        200,
        {
            "type": "response.failed",
            "response": {
                "status": "failed",
                "error": {"code": "rate_limit_exceeded", "message": "Please try again in 1.5s."},
            },
        },
        {},
        "rate_limit",
        False,
        1.5,
        "text",
    ),
    (
        503,
        openai("server_error", None, "The selected model is at capacity."),
        {},
        "overloaded",
        False,
        None,
        None,
    ),
    (200, openai("x", "cyber_policy"), {}, "policy", False, None, None),
    (200, openai("x", "previous_response_not_found"), {}, "caller", False, None, None),
]
COPILOT: list[Case] = [
    (
        402,
        {
            "error": {"message": "You have exhausted your premium model quota."},
            "quota_reset_date_utc": "2026-12-01T00:00:00Z",
        },
        {},
        "quota",
        False,
        4.5 * 86400,
        "body",
    ),
    (
        429,
        openai("x", "rate_limited", "Please try again in 58 hours"),
        {},
        "rate_limit",
        False,
        208800,
        "text",
    ),
    (400, openai("x", "model_not_supported"), {}, "model", False, None, None),
    (403, b"access denied by policy\n", {}, "permission", False, None, None),
]
FREE = "Rate limit exceeded: free-models-per-day."
OPENROUTER: list[Case] = [
    (429, router(429, retry_after_seconds=31), {}, "rate_limit", False, 31, "body"),
    (429, router("429", retry_after_seconds_raw=30.5), {}, "rate_limit", False, 30.5, "body"),
    (429, router(429, headers={"Retry-After": "14"}), {}, "rate_limit", False, 14, "body"),
    (429, router(429, "retry-after: 2 min"), {}, "rate_limit", False, 120, "text"),
    (429, router(429, FREE), {}, "quota", False, 12 * 3600, "body"),
    (
        429,
        router(
            429, FREE, headers={"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": at(5) + "000"}
        ),
        {"retry-after": "1"},
        "quota",
        False,
        5,
        "body",
    ),
    (
        429,
        router(429, limit_source="openrouter_free_tier_daily"),
        {},
        "quota",
        False,
        12 * 3600,
        "body",
    ),
    (402, router(402, "Insufficient credits"), {}, "billing", True, None, None),
    (
        402,
        router(402, "This request requires more credits, or fewer max_tokens."),
        {},
        "unaffordable",
        False,
        None,
        None,
    ),
    (403, router(403, "Your input was flagged", reasons=["x"]), {}, "policy", False, None, None),
    (408, router(408), {}, "timeout", False, None, None),
    (502, router(502), {}, "server", False, None, None),
    (503, router(503), {}, "overloaded", False, None, None),
]
OTHERS: list[Case] = [
    (400, b"", {}, "caller", False, None, None),
    (422, {"detail": [{"msg": "usage limit"}]}, {}, "caller", False, None, None),
    (413, LIMITED, {}, "caller", False, None, None),
    (429, b"", {}, "rate_limit", False, None, None),
    (429, b"[]", {}, "rate_limit", False, None, None),
    (502, b"<html><title>502 Bad Gateway</title></html>", {}, "server", False, None, None),
    (524, b"<html></html>", {}, "timeout", False, None, None),
    (400, {"error": "account balance exhausted"}, {}, "billing", True, None, None),
    (400, {"error": "quota limit"}, {}, "quota", True, None, None),
    (403, {"error": "insufficient balance"}, {}, "billing", True, None, None),
    (418, b"", {}, "server", False, None, None),
]
CASES = [*ANTHROPIC, *GOOGLE, *OPENAI, *CODEX_CASES, *COPILOT, *OPENROUTER, *OTHERS]


@pytest.mark.parametrize(
    ("status", "body", "headers", "cause", "account_wide", "seconds", "source"), CASES
)
def test_an_error_says_why_for_whom_and_how_long(
    status: int,
    body: Any,
    headers: dict[str, str],
    cause: RefusalCause,
    account_wide: bool,
    seconds: float | None,
    source: str | None,
) -> None:
    found = read(status, body, headers)
    assert (found.cause, found.account_wide) == (cause, account_wide)
    assert found.retry_after_s == (None if seconds is None else pytest.approx(seconds))
    assert found.retry_after_from == source


@pytest.mark.parametrize("status", [200, 400, 401, 402, 403, 404, 429, 500])
@pytest.mark.parametrize("code", ["invalid_api_key", "insufficient_quota", "usage_not_included"])
def test_a_refused_credential_is_a_bad_gateway_whatever_the_status(status: int, code: str) -> None:
    found = read(status, openai("x", code, "Account 17 has no credit."))
    assert (found.status, found.kind) == (502, "upstream_broken")
    assert found.told == "The provider refused the gateway's credential."
    assert found.message == "Account 17 has no credit."


def test_a_used_up_quota_stays_a_429() -> None:
    found = read(429, {"error": CODEX})
    assert (found.status, found.kind, found.told) == (429, "rate_limit", "m")


NAMES = [
    "error",
    "message",
    "details",
    "metadata",
    "headers",
    "code",
    "type",
    "retryDelay",
    "resets_at",
    "resets_in_seconds",
    "quotaResetDelay",
    "reason",
    "Retry-After",
    "violations",
    "quotaId",
    "retry_after_seconds",
    "quota_reset_date_utc",
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4)
    ),
    max_leaves=12,
)
HEADER_NAMES = [
    "date",
    "retry-after",
    "retry-after-ms",
    "x-ratelimit-reset",
    "x-codex-active-limit",
    "x-ratelimit-remaining-tokens",
    "x-ratelimit-reset-tokens",
    "anthropic-ratelimit-unified-status",
    "anthropic-ratelimit-unified-reset",
]
VALUES = st.sampled_from(["0", "1e300", "-1", "nan", "3s", "rejected", "9999-12-31T23:59:59Z"])
HEADERS = st.dictionaries(st.sampled_from(HEADER_NAMES), VALUES | st.text(max_size=20))
TEXTS = st.text(max_size=30) | st.builds("retry in {}{}".format, st.floats(), st.text(max_size=9))


@given(st.sampled_from([200, 400, 402, 403, 429, 503]), JSON, HEADERS, TEXTS)
@settings(deadline=None)
def test_no_error_breaks_the_reading_or_cools_beyond_reason(
    status: int, body: Any, headers: dict[str, str], text: str
) -> None:
    for data in (json.dumps(body, default=str).encode(), text.encode()):
        found = read_refusal(status, headers, data, now_s=NOON_S)
        assert found.retry_after_s is None or 0 < found.retry_after_s <= MAX_S
        assert (found.retry_after_s is None) == (found.retry_after_from is None)
