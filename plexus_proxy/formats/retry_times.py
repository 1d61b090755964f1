"""When a provider says to come back: from headers, fields of the body, prose, in this order.

Sources: provider-errors.md §2-8 of the design notes; RFC 9110 §10.2.3; google.rpc.RetryInfo; OpenAI
and Anthropic API references, "Rate limits"; codex, rate_limits.rs.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Any, NamedTuple, cast
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from plexus_proxy.errors import RetrySource
from plexus_proxy.formats import causes
from plexus_proxy.formats.causes import UNIFIED, Finding
from plexus_proxy.formats.durations import believed, epoch_s, number_of, span_s, wait_in_text_s
from plexus_proxy.formats.reports import Report

_PER_MINUTE_S = 60.0
_LAST_S = 1e11
"""Later times are no dates."""
_ANTHROPIC = "anthropic-ratelimit-"
_GOOGLES_ZONE = "America/Los_Angeles"
_HOPELESS = ("auth", "permission", "billing", "caller", "policy")
"""No time mends these."""
_OF_LIMITS = ("rate_limit", "quota")


class Stated(NamedTuple):
    seconds: float
    source: RetrySource


def stated(report: Report, found: Finding, now_s: float) -> Stated | None:
    """How long the provider wants to be left alone; `now_s` (epoch) counts only where it does not
    send its own Date."""
    told_s = epoch_s(report.headers.get("date"))
    if told_s is not None and 0 < told_s < _LAST_S:
        now_s = told_s
    if found.cause in _HOPELESS:
        seconds = _copilot_reset_s(report, now_s) if found.cause == "billing" else None
        return None if seconds is None else Stated(seconds, "body")
    if found.is_terminal:
        return _next_allowance(report, now_s)
    headers = report.headers
    if "usage_limit_reached" in report.words:  # a Retry-After is about less than a plan's window
        if (seconds := _reset_field_s(report, now_s)) is not None:
            return Stated(seconds, "body")
        if (seconds := _of_codex(headers, now_s)) is not None:
            return Stated(seconds, "header")
    if found.cause in _OF_LIMITS and (seconds := _of_windows(headers, now_s)) is not None:
        return Stated(seconds, "header")
    if (seconds := retry_after_s(headers, now_s)) is not None:
        return Stated(seconds, "header")
    if found.cause in _OF_LIMITS and (seconds := _of_buckets(headers, now_s)) is not None:
        return Stated(seconds, "header")
    if (seconds := _in_body_s(report, now_s)) is not None:
        return Stated(seconds, "body")
    seconds = wait_in_text_s(report.message)
    if seconds is None and found.cause in _OF_LIMITS and _is_per_minute(report):
        return Stated(_PER_MINUTE_S, "body")
    return None if seconds is None else Stated(seconds, "text")


def retry_after_s(headers: Mapping[str, str], now_s: float) -> float | None:
    """Seconds by retry-after-ms, else Retry-After as a number or a date. Source: RFC 9110
    §10.2.3."""
    if (ms := number_of(headers.get("retry-after-ms"))) is not None and ms > 0:
        return believed(ms / 1000)
    value = headers.get("retry-after")
    if (seconds := number_of(value)) is not None:
        return believed(seconds)
    return _until(value, now_s)


def _until(value: Any, now_s: float) -> float | None:
    moment = epoch_s(value)
    return None if moment is None else believed(moment - now_s)


def _latest(waits: Iterable[float | None]) -> float | None:
    return max((each for each in waits if each is not None), default=None)


def _of_windows(headers: Mapping[str, str], now_s: float) -> float | None:
    """The latest of what the rejected windows of an Anthropic subscription say."""
    rejected = causes.rejected_windows(headers)
    if not rejected:
        return None
    names = [f"{UNIFIED}{name}-reset" if name else UNIFIED + "reset" for name in rejected]
    waits = [_until(headers.get(name), now_s) for name in names]
    return _latest([*waits, retry_after_s(headers, now_s)])


def _of_buckets(headers: Mapping[str, str], now_s: float) -> float | None:
    """Of the buckets that are empty, by what vendors call them."""
    waits: list[float | None] = []
    for name, value in headers.items():
        if name.startswith(_ANTHROPIC) and name.endswith("-remaining") and _is_nothing(value):
            waits.append(_until(headers.get(name.removesuffix("remaining") + "reset"), now_s))
    waits += [
        believed(span_s(headers.get(f"x-ratelimit-reset-{bucket}", "")))
        for bucket in ("requests", "tokens")
        if _is_nothing(headers.get(f"x-ratelimit-remaining-{bucket}"))
    ]
    waits.append(_of_codex(headers, now_s))
    return _latest(waits) or _of_one_bucket(headers, now_s)


def _of_one_bucket(headers: Mapping[str, str], now_s: float) -> float | None:
    remaining = headers.get("x-ratelimit-remaining")
    if remaining is not None and not _is_nothing(remaining):
        return None
    reset = _until(headers.get("x-ratelimit-reset"), now_s)
    return reset or believed(number_of(headers.get("x-ratelimit-reset-after")))


def _is_nothing(remaining: str | None) -> bool:
    left = number_of(remaining)
    return left is not None and left <= 0


def _of_codex(headers: Mapping[str, str], now_s: float) -> float | None:
    """Of the exhausted windows of the limit that refused."""
    limit = headers.get("x-codex-active-limit")
    if limit is None:
        return None
    family = "x-" + limit.strip().lower().replace("_", "-")
    waits: list[float | None] = []
    for window in ("primary", "secondary"):
        prefix = f"{family}-{window}"
        used = number_of(headers.get(f"{prefix}-used-percent"))
        if used is not None and used >= 100:
            waits.append(_until(headers.get(f"{prefix}-reset-at"), now_s))
            waits.append(believed(number_of(headers.get(f"{prefix}-reset-after-seconds"))))
    return _latest(waits)


def _in_body_s(report: Report, now_s: float) -> float | None:
    if (reset := _reset_field_s(report, now_s)) is not None:
        return reset
    return next((each for each in _in_details(report, now_s) if each is not None), None)


def _reset_field_s(report: Report, now_s: float) -> float | None:
    """Of the Codex backend."""
    for found in reversed(report.objects):
        reset = _until(found.get("resets_at"), now_s)
        if reset is None:
            reset = believed(number_of(found.get("resets_in_seconds")))
        if reset is not None:
            return reset
    return None


def _in_details(report: Report, now_s: float) -> Iterator[float | None]:
    details = report.details
    yield from (_span_of(found.get("retryDelay")) for found in details)
    yield _quota_reset_s(report, now_s)
    for name in ("retry_after_seconds", "retry_after_seconds_raw"):
        yield from (believed(number_of(found.get(name))) for found in details)
    headers = list(_inner_headers(report))
    yield from (retry_after_s(each, now_s) for each in headers)
    yield from (_of_one_bucket(each, now_s) for each in headers)
    yield _copilot_reset_s(report, now_s)


def _quota_reset_s(report: Report, now_s: float) -> float | None:
    for found in report.details:
        delay = _span_of(found.get("quotaResetDelay"))
        if delay is None:
            delay = _until(found.get("quotaResetTimeStamp"), now_s)
        if delay is not None:
            return delay
    return None


def _span_of(value: Any) -> float | None:
    return believed(span_s(value)) if isinstance(value, str) else None


def _inner_headers(report: Report) -> Iterator[Mapping[str, str]]:
    """OpenRouter hands on what the provider behind it said."""
    for found in report.details:
        headers = found.get("headers")
        if isinstance(headers, dict):
            fields = cast("dict[str, Any]", headers)
            yield {name.lower(): str(value) for name, value in fields.items()}


def _is_per_minute(report: Report) -> bool:
    return any("PerMinute" in each for each in causes.quota_names(report))


def _copilot_reset_s(report: Report, now_s: float) -> float | None:
    for found in (*reversed(report.objects), *report.details):
        reset = _until(found.get("quota_reset_date_utc"), now_s)
        if reset is not None:
            return reset
    return None


def _next_allowance(report: Report, now_s: float) -> Stated | None:
    """When a used-up allowance begins anew; a short delay told with it is not about that."""
    if (seconds := _quota_reset_s(report, now_s)) is not None:
        return Stated(seconds, "body")
    if "enforced_spend_limit_reached" in report.reasons:
        return _at(_next_month(now_s), now_s)
    if causes.is_daily(report):
        return _at(_next_day(now_s, _pacific()), now_s)
    if causes.is_free_tier_daily(report):
        for headers in (*_inner_headers(report), report.headers):
            if (seconds := _of_one_bucket(headers, now_s)) is not None:
                return Stated(seconds, "header" if headers is report.headers else "body")
        return _at(_next_day(now_s, UTC), now_s)
    return None


def _at(moment: datetime, now_s: float) -> Stated:
    """What the body implies."""
    seconds = believed(moment.timestamp() - now_s)
    return Stated(seconds or _PER_MINUTE_S, "body")


def _pacific() -> tzinfo:
    """Where Google's days begin; without summer time on a machine that has no time zones."""
    try:
        return ZoneInfo(_GOOGLES_ZONE)
    except ZoneInfoNotFoundError:
        return timezone(timedelta(hours=-8))


def _next_day(now_s: float, zone: tzinfo) -> datetime:
    tomorrow = datetime.fromtimestamp(now_s, zone).date() + timedelta(days=1)
    return datetime(tomorrow.year, tomorrow.month, tomorrow.day, tzinfo=zone)


def _next_month(now_s: float) -> datetime:
    today = datetime.fromtimestamp(now_s, UTC)
    return datetime(today.year + today.month // 12, today.month % 12 + 1, 1, tzinfo=UTC)
