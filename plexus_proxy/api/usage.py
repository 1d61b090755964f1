"""/v0/management/usage: the rows, in the field names of the base release and ours beside them."""

import time
from datetime import UTC, datetime
from typing import Any

import msgspec
from aiohttp import web
from msgspec import Struct

from plexus_proxy.api.auth import admin_only
from plexus_proxy.api.replies import json_response, wrong_method
from plexus_proxy.db.database import DATABASE
from plexus_proxy.errors import BadRequest
from plexus_proxy.manage.usage import delete_usage, list_usage, read_usage_query
from plexus_proxy.usage.record import AttemptRecord, UsageRow
from plexus_proxy.usage.store import UsageStore

_PATH = "/v0/management/usage"
_ROW = _PATH + "/{request_id:.+}"


class AttemptView(Struct, frozen=True, kw_only=True, rename="camel"):
    provider: str
    model: str
    api_type: str
    status: str
    status_code: int | None
    error_code: str | None
    reason: str | None
    duration_ms: int | None
    ttft_ms: float | None
    resumed: bool


class UsageView(Struct, frozen=True, kw_only=True, rename="camel"):
    """One row. Costs in US dollars, instants of the `…Time`/`…At` fields in epoch milliseconds."""

    request_id: str
    client_request_id: str | None
    client_session: str | None
    date: str
    """Start of the request, ISO 8601, UTC."""
    source_ip: str | None
    api_key: str
    """The key's name, never its secret."""
    attribution: str | None
    incoming_api_type: str
    provider: str | None
    incoming_model_alias: str | None
    canonical_model_name: str | None
    selected_model_name: str | None
    outgoing_api_type: str | None
    tokens_input: int
    tokens_output: int
    tokens_reasoning: int
    tokens_cached: int
    tokens_cache_write: int
    tokens_estimated: int
    """0 or 1."""
    cost_input: float | None
    cost_output: float | None
    cost_cached: float | None
    cost_cache_write: float | None
    cost_total: float | None
    cost_source: str
    cost_metadata: str | None
    """JSON text of the rates used."""
    start_time: int
    duration_ms: int
    ttft_ms: float | None
    tokens_per_sec: float | None
    is_streamed: bool
    is_passthrough: bool
    response_status: str
    http_status: int
    error_code: str | None
    error_message: str | None
    tools_defined: int
    tool_calls_count: int
    message_count: int
    parallel_tool_calls_enabled: bool | None
    finish_reason: str | None
    attempts: list[AttemptView]
    dropped_fields: list[str]
    has_debug: bool
    has_error: bool
    created_at: int | None


_FIELD_NAMES = frozenset(UsageView.__struct_encode_fields__)


class _Page(Struct, frozen=True):
    data: list[Any]
    total: int


class _Deleted(Struct, frozen=True):
    success: bool
    deleted: int


async def list_rows(request: web.Request) -> web.Response:
    """GET: `{data, total}`, newest first."""
    page = await list_usage(_store(request), read_usage_query(request.query))
    views: list[Any] = [view(row) for row in page.rows]
    wanted = _wanted_fields(request.query.get("fields", ""))
    if wanted:
        views = [{name: full[name] for name in wanted} for full in map(_as_dict, views)]
    return json_response(_Page(views, page.total))


async def delete_rows(request: web.Request) -> web.Response:
    """DELETE: all rows, or those older than `olderThanDays`."""
    deleted = await delete_usage(_store(request), request.query, int(time.time() * 1000))
    return json_response(_Deleted(success=True, deleted=deleted))


async def delete_row(request: web.Request) -> web.Response:
    """DELETE one row; a row that is not there is no error."""
    existed = await _store(request).delete_row(request.match_info["request_id"])
    return json_response(_Deleted(success=True, deleted=int(existed)))


def routes() -> list[web.RouteDef]:
    return [
        web.get(_PATH, admin_only(list_rows)),
        web.delete(_PATH, admin_only(delete_rows)),
        web.route("*", _PATH, wrong_method("GET", "HEAD", "DELETE")),
        web.delete(_ROW, admin_only(delete_row)),
        web.route("*", _ROW, wrong_method("DELETE")),
    ]


def view(row: UsageRow) -> UsageView:
    """A row as the API shows it."""
    return UsageView(
        request_id=row.request_id,
        client_request_id=row.client_request_id,
        client_session=row.client_session,
        date=_iso(row.started_at_ms),
        source_ip=row.source_ip,
        api_key=row.key_name,
        attribution=row.attribution,
        incoming_api_type=row.client_format,
        provider=row.provider,
        incoming_model_alias=row.alias,
        canonical_model_name=row.canonical_model,
        selected_model_name=row.model,
        outgoing_api_type=row.provider_format,
        tokens_input=row.input_tokens,
        tokens_output=row.output_tokens,
        tokens_reasoning=row.reasoning_tokens,
        tokens_cached=row.cache_read_tokens,
        tokens_cache_write=row.cache_write_tokens,
        tokens_estimated=int(row.tokens_estimated),
        cost_input=_usd(row.cost.input_nano_usd),
        cost_output=_usd(row.cost.output_nano_usd),
        cost_cached=_usd(row.cost.cache_read_nano_usd),
        cost_cache_write=_usd(row.cost.cache_write_nano_usd),
        cost_total=_usd(row.cost.total_nano_usd),
        cost_source=row.cost.source,
        cost_metadata=row.cost.detail,
        start_time=row.started_at_ms,
        duration_ms=row.duration_ms,
        ttft_ms=row.ttft_ms,
        tokens_per_sec=row.tokens_per_s,
        is_streamed=row.streamed,
        is_passthrough=row.passthrough,
        response_status=row.status,
        http_status=row.http_status,
        error_code=row.error_code,
        error_message=row.error_message,
        tools_defined=row.tools_defined,
        tool_calls_count=row.tool_calls,
        message_count=row.message_count,
        parallel_tool_calls_enabled=row.parallel_tool_calls,
        finish_reason=row.finish_reason,
        attempts=[_attempt(attempt) for attempt in row.attempts],
        dropped_fields=list(row.dropped_fields),
        has_debug=False,
        has_error=row.error_code is not None or row.error_message is not None,
        created_at=row.created_at_ms,
    )


def _attempt(attempt: AttemptRecord) -> AttemptView:
    return AttemptView(
        provider=attempt.provider,
        model=attempt.model,
        api_type=attempt.format,
        status=attempt.status,
        status_code=attempt.http_status,
        error_code=attempt.error_code,
        reason=attempt.reason,
        duration_ms=attempt.duration_ms,
        ttft_ms=attempt.ttft_ms,
        resumed=attempt.resumed,
    )


def _wanted_fields(text: str) -> list[str]:
    """The known ones among `a,b,c`; empty: all. Raises BadRequest if none of them is known."""
    named = [name.strip() for name in text.split(",") if name.strip()]
    known = [name for name in named if name in _FIELD_NAMES]
    if named and not known:
        raise BadRequest("fields names no field of a usage row.", param="fields")
    return known


def _as_dict(row: UsageView) -> dict[str, Any]:
    return msgspec.to_builtins(row)


def _iso(epoch_ms: int) -> str:
    instant = datetime.fromtimestamp(epoch_ms / 1000, UTC)
    return instant.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _usd(nano_usd: int | None) -> float | None:
    return None if nano_usd is None else nano_usd / 1e9


def _store(request: web.Request) -> UsageStore:
    return UsageStore(request.app[DATABASE])
