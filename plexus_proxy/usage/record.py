"""One row of the usage table: everything we keep about one client request."""

from typing import Literal

import msgspec
from msgspec import Struct

Status = Literal["success", "error", "cancelled", "timeout", "stall"]


class AttemptRecord(Struct, frozen=True, kw_only=True, gc=False):
    """One try at one candidate, in the order they were made."""

    provider: str
    model: str
    format: str
    status: Literal["success", "failed", "cancelled", "skipped"]
    http_status: int | None = None
    error_code: str | None = None
    reason: str | None = None
    duration_ms: int | None = None
    ttft_ms: float | None = None
    """From the start of this attempt to its first content."""
    resumed: bool = False
    """It went on with the answer of the attempt before, which was cut off."""


class Cost(Struct, frozen=True, kw_only=True, gc=False):
    """Integer nano-dollars (1e-9 USD) per bucket; output includes reasoning. None: unpriced."""

    input_nano_usd: int | None = None
    output_nano_usd: int | None = None
    cache_read_nano_usd: int | None = None
    cache_write_nano_usd: int | None = None
    total_nano_usd: int | None = None
    source: str = "default"
    """Where the rates come from: simple, defined, per_request, or default (no pricing)."""
    detail: str | None = None
    """JSON of the rates used."""


class UsageRow(Struct, frozen=True, kw_only=True, gc=False):
    """Written once, at the end of the request. Tokens are the five disjoint buckets of `Usage`."""

    request_id: str
    client_request_id: str | None = None
    client_session: str | None = None
    started_at_ms: int
    duration_ms: int
    ttft_ms: float | None = None
    """From the request's arrival to the first content byte from the upstream."""
    tokens_per_s: float | None = None
    key_name: str
    attribution: str | None = None
    source_ip: str | None = None
    client_format: str
    provider_format: str | None = None
    provider: str | None = None
    alias: str | None = None
    """The model name as the client sent it."""
    canonical_model: str | None = None
    """The alias it resolved to (or the whole `direct/…` string)."""
    model: str | None = None
    """The provider's own slug."""
    streamed: bool = False
    passthrough: bool = False
    status: Status
    http_status: int
    error_code: str | None = None
    error_message: str | None = None
    finish_reason: str | None = None
    input_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    tokens_estimated: bool = False
    """True when the upstream stated no usage and the numbers are our estimate."""
    cost: Cost = Cost()
    tools_defined: int = 0
    tool_calls: int = 0
    message_count: int = 0
    parallel_tool_calls: bool | None = None
    attempts: tuple[AttemptRecord, ...] = ()
    dropped_fields: tuple[str, ...] = ()
    """Fields of the client's request that the provider's format cannot express."""
    created_at_ms: int | None = None
    """When the row reached the database; None before."""


encode_row = msgspec.json.Encoder().encode
decode_row = msgspec.json.Decoder(UsageRow).decode
