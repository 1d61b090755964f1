"""A usage row as the pages show it: text only, every number written out."""

from urllib.parse import quote

from msgspec import Struct

from plexus_proxy.admin import format as fmt
from plexus_proxy.usage.record import AttemptRecord, Status, UsageRow

_STATUS_NAMES: dict[Status, str] = {
    "success": "Success",
    "error": "Error",
    "cancelled": "Cancelled",
    "timeout": "Time-out",
    "stall": "Stalled",
}
_ATTEMPT_NAMES = {"success": "Success", "failed": "Failed", "cancelled": "Cancelled"}


class Flag(Struct, frozen=True):
    """A small mark; `meaning` is the sentence behind it."""

    text: str
    meaning: str


class RowView(Struct, frozen=True, kw_only=True):
    request_id: str
    address: str
    """Of its own page, below that of the list; an id may contain slashes."""
    instant: str
    day: str
    clock: str
    key: str
    attribution: str
    alias: str
    target: str
    formats: str
    status: str
    status_name: str
    status_detail: str
    input_tokens: str
    cache_read_tokens: str
    cache_write_tokens: str
    output_tokens: str
    reasoning_tokens: str
    is_estimated: bool
    cost: str
    duration: str
    ttft: str
    speed: str
    flags: list[Flag]


class AttemptView(Struct, frozen=True, kw_only=True):
    target: str
    format: str
    status: str
    status_name: str
    http_status: str
    error_code: str
    reason: str
    duration: str


class DetailsView(Struct, frozen=True, kw_only=True):
    """What has no place in the list: label and text, in groups."""

    groups: list[tuple[str, list[tuple[str, str]]]]
    error_message: str
    attempts: list[AttemptView]
    dropped_fields: list[str]


def row_view(row: UsageRow) -> RowView:
    return RowView(
        request_id=row.request_id,
        address=quote(row.request_id, safe=""),
        instant=fmt.iso(row.started_at_ms),
        day=fmt.utc_day(row.started_at_ms),
        clock=fmt.utc_clock(row.started_at_ms),
        key=row.key_name,
        attribution=row.attribution or "",
        alias=row.alias or fmt.NOTHING,
        target=_target(row.provider, row.model),
        formats=_formats(row),
        status=row.status,
        status_name=_STATUS_NAMES[row.status],
        status_detail=_status_detail(row),
        input_tokens=fmt.count(row.input_tokens),
        cache_read_tokens=_if_any(row.cache_read_tokens),
        cache_write_tokens=_if_any(row.cache_write_tokens),
        output_tokens=fmt.count(row.output_tokens),
        reasoning_tokens=_if_any(row.reasoning_tokens),
        is_estimated=row.tokens_estimated,
        cost=fmt.usd(row.cost.total_nano_usd),
        duration=fmt.duration(row.duration_ms),
        ttft="" if row.ttft_ms is None else fmt.duration(row.ttft_ms),
        speed="" if row.tokens_per_s is None else fmt.rate(row.tokens_per_s),
        flags=list(_flags(row)),
    )


def _if_any(number: int) -> str:
    return fmt.count(number) if number else ""


def _target(provider: str | None, model: str | None) -> str:
    return " / ".join(part for part in (provider, model) if part)


def _formats(row: UsageRow) -> str:
    if row.provider_format is None or row.provider_format == row.client_format:
        return row.client_format
    return f"{row.client_format} → {row.provider_format}"


def _status_detail(row: UsageRow) -> str:
    if row.error_code:
        return row.error_code
    return "" if row.status == "success" else f"HTTP {row.http_status}"


def _flags(row: UsageRow) -> list[Flag]:
    flags: list[Flag] = []
    if row.streamed:
        flags.append(Flag("stream", "Answered as a stream"))
    if row.passthrough:
        flags.append(Flag("pass-through", "Relayed byte for byte"))
    if row.tools_defined or row.tool_calls:
        calls = fmt.plural(row.tool_calls, "call", "calls")
        tools = fmt.plural(row.tools_defined, "tool", "tools")
        flags.append(Flag(f"{tools}, {calls}", "Tools offered, and calls the model made"))
    if row.finish_reason:
        flags.append(Flag(row.finish_reason, "Finish reason"))
    if len(row.attempts) > 1:
        flags.append(Flag(f"{len(row.attempts)} attempts", "Providers that were tried"))
    if row.dropped_fields:
        dropped = fmt.plural(len(row.dropped_fields), "field dropped", "fields dropped")
        flags.append(Flag(dropped, "The provider's format cannot express: see the details"))
    return flags


def row_details(row: UsageRow) -> DetailsView:
    cost = row.cost
    groups = [
        (
            "Request",
            [
                ("Request id", row.request_id),
                ("Client's request id", _text(row.client_request_id)),
                ("Client's session", _text(row.client_session)),
                ("Key", row.key_name),
                ("Attribution", _text(row.attribution)),
                ("Address", _text(row.source_ip)),
                ("Messages", fmt.count(row.message_count)),
                ("Tools offered", fmt.count(row.tools_defined)),
                ("Parallel tool calls", _yes_no(row.parallel_tool_calls)),
            ],
        ),
        (
            "Route",
            [
                ("Alias asked for", _text(row.alias)),
                ("Resolved to", _text(row.canonical_model)),
                ("Provider", _text(row.provider)),
                ("Provider's model", _text(row.model)),
                ("Client's format", row.client_format),
                ("Provider's format", _text(row.provider_format)),
                ("Relayed byte for byte", _yes_no(row.passthrough)),
            ],
        ),
        (
            "Answer",
            [
                ("Status", _STATUS_NAMES[row.status]),
                ("HTTP status", str(row.http_status)),
                ("Error code", _text(row.error_code)),
                ("Finish reason", _text(row.finish_reason)),
                ("Tool calls", fmt.count(row.tool_calls)),
                ("Streamed", _yes_no(row.streamed)),
                ("Duration", fmt.duration(row.duration_ms)),
                ("First token after", fmt.duration(row.ttft_ms)),
                ("Speed", fmt.rate(row.tokens_per_s)),
            ],
        ),
        (
            "Tokens, estimated" if row.tokens_estimated else "Tokens",
            [
                ("Input, not cached", fmt.count(row.input_tokens)),
                ("Read from cache", fmt.count(row.cache_read_tokens)),
                ("Written to cache", fmt.count(row.cache_write_tokens)),
                ("Output", fmt.count(row.output_tokens)),
                ("Reasoning", fmt.count(row.reasoning_tokens)),
            ],
        ),
        (
            "Cost",
            [
                ("Input", fmt.usd_exact(cost.input_nano_usd)),
                ("Read from cache", fmt.usd_exact(cost.cache_read_nano_usd)),
                ("Written to cache", fmt.usd_exact(cost.cache_write_nano_usd)),
                ("Output and reasoning", fmt.usd_exact(cost.output_nano_usd)),
                ("Total", fmt.usd_exact(cost.total_nano_usd)),
                ("Pricing", cost.source),
            ],
        ),
    ]
    return DetailsView(
        groups=groups,
        error_message=row.error_message or "",
        attempts=[_attempt(attempt) for attempt in row.attempts],
        dropped_fields=list(row.dropped_fields),
    )


def _attempt(attempt: AttemptRecord) -> AttemptView:
    return AttemptView(
        target=_target(attempt.provider, attempt.model),
        format=attempt.format,
        status=attempt.status,
        status_name=_ATTEMPT_NAMES[attempt.status],
        http_status=fmt.NOTHING if attempt.http_status is None else str(attempt.http_status),
        error_code=attempt.error_code or "",
        reason=_text(attempt.reason),
        duration=fmt.duration(attempt.duration_ms),
    )


def _text(value: str | None) -> str:
    return value or fmt.NOTHING


def _yes_no(value: bool | None) -> str:
    return fmt.NOTHING if value is None else "yes" if value else "no"
