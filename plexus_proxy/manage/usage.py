"""What the operator does with usage rows: list them by filters, delete them.

Filters come as text, from a query string or a form; the names are those of the base release.
"""

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta

from msgspec import Struct

from plexus_proxy.errors import BadRequest
from plexus_proxy.usage.record import UsageRow
from plexus_proxy.usage.store import UsageFilters, UsageStore

DEFAULT_LIMIT = 50
MAX_LIMIT = 1000
_MAX_NUMBER = 2**53  # what a JSON client can count to
_MAX_DAYS = 100_000
_DAY_MS = 86_400_000

_NUMBER = re.compile(r"[0-9]{1,16}")


class UsageQuery(Struct, frozen=True, kw_only=True):
    """One page of rows that match the filters."""

    filters: UsageFilters = UsageFilters()
    limit: int = DEFAULT_LIMIT
    offset: int = 0


class UsagePage(Struct, frozen=True, kw_only=True):
    rows: list[UsageRow]
    """Newest first."""
    total: int
    """Rows that match, on all pages together."""


def read_usage_query(params: Mapping[str, str]) -> UsageQuery:
    """The page that `params` ask for; an empty value does not filter. Raises BadRequest."""
    return UsageQuery(
        filters=UsageFilters(
            start_ms=_instant_ms(params, "startDate", end=False),
            end_ms=_instant_ms(params, "endDate", end=True),
            key_name=_text(params, "apiKey"),
            attribution=_lower(_text(params, "attribution")),
            client_request_id=_text(params, "clientRequestId"),
            client_format=_lower(_text(params, "incomingApiType")),
            provider_format=_lower(_text(params, "outgoingApiType")),
            status=_lower(_text(params, "responseStatus")),
            provider_like=_text(params, "provider"),
            alias_like=_text(params, "incomingModelAlias"),
            model_like=_text(params, "selectedModelName"),
            min_duration_ms=_number(params, "minDurationMs"),
            max_duration_ms=_number(params, "maxDurationMs"),
        ),
        limit=_or(_number(params, "limit", most=MAX_LIMIT), DEFAULT_LIMIT),
        offset=_or(_number(params, "offset"), 0),
    )


async def list_usage(store: UsageStore, query: UsageQuery) -> UsagePage:
    total = await store.count(query.filters)
    if query.limit == 0 or query.offset >= total:
        return UsagePage(rows=[], total=total)
    rows = await store.fetch_page(query.filters, query.limit, query.offset)
    return UsagePage(rows=rows, total=total)


async def delete_usage(store: UsageStore, params: Mapping[str, str], now_ms: int) -> int:
    """Delete all rows, or those older than `olderThanDays`; how many. Raises BadRequest.

    An unknown parameter is refused: a typing error must not delete everything.
    """
    for name in params:
        if name != "olderThanDays":
            raise BadRequest(f"Unknown parameter {name}.", param=name)
    if "olderThanDays" not in params:
        return await store.delete_all()
    days = _number(params, "olderThanDays", most=_MAX_DAYS)
    if days is None:
        raise BadRequest("olderThanDays must be a whole number.", param="olderThanDays")
    return await store.delete_before(now_ms - days * _DAY_MS)


def _text(params: Mapping[str, str], name: str) -> str | None:
    return params.get(name) or None


def _lower(text: str | None) -> str | None:
    return None if text is None else text.lower()


def _number(params: Mapping[str, str], name: str, *, most: int = _MAX_NUMBER) -> int | None:
    text = params.get(name)
    if not text:
        return None
    if not _NUMBER.fullmatch(text) or int(text) > most:
        raise BadRequest(f"{name} must be a whole number from 0 to {most}.", param=name)
    return int(text)


def _or(number: int | None, default: int) -> int:
    return default if number is None else number


def _instant_ms(params: Mapping[str, str], name: str, *, end: bool) -> int | None:
    """ISO 8601 (UTC unless it says otherwise) or epoch milliseconds.

    An end without a time of day means the whole day."""
    text = params.get(name)
    if not text:
        return None
    if len(text) > 8 and _NUMBER.fullmatch(text):
        return int(text)
    try:
        instant = datetime.fromisoformat(_mend_plus(text))
        if instant.tzinfo is None:
            instant = instant.replace(tzinfo=UTC)
        if end and _is_day(text):
            instant += timedelta(days=1, milliseconds=-1)
        return int(instant.timestamp() * 1000)
    except (ValueError, OverflowError):
        raise BadRequest(
            f"{name} must be an ISO 8601 date or date and time, such as 2026-02-28 or"
            " 2026-02-28T12:00:00Z.",
            param=name,
        ) from None


def _is_day(text: str) -> bool:
    """A date without a time of day, in any of its spellings."""
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def _mend_plus(text: str) -> str:
    """`…T10:00:00+02:00` with its plus unescaped in a query string arrives with a space there."""
    return text.replace(" ", "+") if "T" in text else text
