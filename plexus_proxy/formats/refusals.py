"""A provider's error answer, in whatever shape it came, as a Refused.

Providers, and the proxies in front of them, answer errors as JSON objects, lists, JSON inside JSON
strings, plain text, HTML and nothing at all, sometimes with status 200. Sources: provider-errors.md
§1-5 of the design notes; OpenAI, Anthropic and Gemini error references, google.rpc.error_details.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from email.utils import parsedate_to_datetime
from typing import Any, cast

import msgspec

from plexus_proxy.errors import Garbled, Kind, Refused

MAX_MESSAGE_CHARS = 2000
MAX_RETRY_AFTER_S = 8 * 86400.0

_MAX_DEPTH = 6

_TYPE_STATUS = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "conflict_error": 409,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
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
    402: "billing",
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
"""401 and 403 are missing on purpose: they refuse the gateway's own key, not the client's."""

_CODE_KIND: dict[str, Kind] = {
    "context_length_exceeded": "context_too_long",
    "model_context_window_exceeded": "context_too_long",
    "content_policy_violation": "content_policy",
    "content_filter": "content_policy",
    "model_not_found": "not_found",
    "insufficient_quota": "billing",
    "billing_error": "billing",
    "billing_hard_limit_reached": "billing",
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
_CREDIT_WORDS = (
    "insufficient_quota",
    "credit balance is too low",
    "used up your points",
    "out of credits",
    "balance too low",
    "insufficient balance",
    "insufficient funds",
)
_QUOTA_WORDS = ("quota exceeded", "account balance", "quota limit", "usage limit")
"""On a 400 these mean an empty account; on a 429 they may be about a short window."""

_KEY_INVALID = "API_KEY_INVALID"
"""Google answers a bad key with 400 and this reason."""
_DURATION = re.compile(r"(\d+(?:\.\d+)?)s")

_ERROR_FIELDS = ("error", "errorMessage", "message", "detail")
_TITLE = re.compile(r"<title[^>]*>(.*?)</title>|<h1[^>]*>(.*?)</h1>", re.IGNORECASE | re.DOTALL)
_TAG = re.compile(r"<[^>]+>")
_SPACE = re.compile(r"\s+")


def read_refusal(
    status: int, headers: Mapping[str, str], body: bytes, *, in_stream: bool = False
) -> Refused:
    """`headers` have lower-case names. A status below 400 (an error event, an error object in a
    200 answer) is replaced by the one the error's type stands for."""
    value = _json(body)
    said = _said(value)
    if status < 400:
        status = _implied_status(said)
    details = list(_details(value))
    if status == 400 and any(each.get("reason") == _KEY_INVALID for each in details):
        status = 401
    message = _message(value, body) or f"The provider answered {status} without a message."
    code = next((each for each in said if not each.isdigit()), None)
    return Refused(
        _capped(message),
        upstream_status=status,
        kind=_kind(status, said, message.lower()),
        body=body,
        headers=headers,
        code=code,
        retry_after_s=retry_after_s(headers) or _retry_delay_s(details),
        in_stream=in_stream,
    )


def error_of_answer(body: bytes) -> Refused | Garbled:
    """What to raise for a 200 answer that holds no answer: the error it holds, if it does."""
    value = _json(body)
    fields = cast("dict[str, Any]", value) if isinstance(value, dict) else {}
    if any(fields.get(name) for name in _ERROR_FIELDS):
        return read_refusal(200, {}, body)
    return Garbled("The provider's answer holds no message.")


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait, by retry-after-ms, else Retry-After as a number or a date.

    A date is measured from the provider's own Date header. Source: RFC 9110 §10.2.3."""
    if (ms := _number(headers.get("retry-after-ms"))) is not None:
        return _sane(ms / 1000)
    value = headers.get("retry-after")
    if (seconds := _number(value)) is not None:
        return _sane(seconds)
    if value is None or "date" not in headers:
        return None
    try:
        until, now = parsedate_to_datetime(value), parsedate_to_datetime(headers["date"])
        return _sane((until - now).total_seconds())
    except (TypeError, ValueError):
        return None


def _retry_delay_s(details: Sequence[Mapping[str, Any]]) -> float | None:
    """From google.rpc.RetryInfo."""
    for each in details:
        found = _DURATION.fullmatch(str(each.get("retryDelay")))
        if found:
            return _sane(float(found[1]))
    return None


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text is not None else None
    except ValueError:
        return None


def _sane(seconds: float) -> float | None:
    return min(seconds, MAX_RETRY_AFTER_S) if seconds > 0 else None


def _json(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _objects(value: Any, depth: int = 0) -> Iterator[Mapping[str, Any]]:
    """The error objects of a body, innermost last: itself, its `error`, JSON within its strings."""
    if depth == _MAX_DEPTH:
        return
    if isinstance(value, str):
        nested = value.strip()
        if nested.startswith(("{", "[")):
            yield from _objects(_json(nested.encode()), depth + 1)
    elif isinstance(value, list):
        for each in cast("list[Any]", value)[:1]:
            yield from _objects(each, depth + 1)
    elif isinstance(value, dict):
        fields = cast("dict[str, Any]", value)
        yield fields
        for name in ("response", "error", "errorMessage", "message", "detail"):
            yield from _objects(fields.get(name), depth + 1)


def _details(value: Any) -> Iterator[Mapping[str, Any]]:
    """google.rpc.error_details of all error objects."""
    for found in _objects(value):
        details = found.get("details")
        if isinstance(details, list):
            for each in cast("list[Any]", details):
                if isinstance(each, dict):
                    yield cast("dict[str, Any]", each)


def _said(value: Any) -> list[str]:
    """Codes and types of all error objects, most specific first."""
    objects = list(_objects(value))
    words = [
        str(found[name]).lower()
        for found in reversed(objects)
        for name in ("code", "error_code", "type", "status")
        if isinstance(found.get(name), str | int) and not isinstance(found.get(name), bool)
    ]
    return [each for each in words if each not in ("error", "")]


def _implied_status(said: list[str]) -> int:
    for each in said:
        if each.isdigit() and 400 <= int(each) <= 599:
            return int(each)
        if each in _TYPE_STATUS:
            return _TYPE_STATUS[each]
    return 500


def _message(value: Any, body: bytes) -> str:
    """The reason in the provider's words: the innermost message there is."""
    found = ""
    for each in _objects(value):
        for name in ("errorMessage", "message", "error", "detail", "msg", "title"):
            text = each.get(name)
            if isinstance(text, str) and text.strip():
                if not isinstance(_json(text.encode()), dict | list):
                    found = text.strip()
                break
    if found:
        return found
    if isinstance(value, str):
        return value.strip()
    text = body.decode("utf-8", "replace").strip()
    return _plain(text) if text.startswith("<") else text


def _plain(page: str) -> str:
    """What an HTML page says in short."""
    title = _TITLE.search(page)
    text = (title[1] or title[2] or "") if title else page
    return _SPACE.sub(" ", _TAG.sub(" ", text)).strip() or "an HTML page"


def _capped(message: str) -> str:
    over = len(message) - MAX_MESSAGE_CHARS
    return message if over <= 0 else f"{message[:MAX_MESSAGE_CHARS]}... [truncated {over} chars]"


def _kind(status: int, said: list[str], text: str) -> Kind:
    for each in said:
        if each in _CODE_KIND:
            return _CODE_KIND[each]
    if status in (400, 413, 422) and any(words in text for words in _CONTEXT_WORDS):
        return "context_too_long"
    if status in (400, 403, 429) and any(words in text for words in _CREDIT_WORDS):
        return "billing"
    if status == 400 and any(words in text for words in _QUOTA_WORDS):
        return "billing"
    return _STATUS_KIND.get(status, "upstream_broken")
