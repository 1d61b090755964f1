"""Usage rows for tests."""

import secrets
from typing import Any

from plexus_proxy.usage.record import AttemptRecord, Cost, UsageRow

STARTED_AT_MS = 1_760_000_000_000


def make_row(**changes: Any) -> UsageRow:
    """A plain successful request; `changes` replace single fields."""
    fields: dict[str, Any] = {
        "request_id": secrets.token_hex(12),
        "started_at_ms": STARTED_AT_MS,
        "duration_ms": 1200,
        "key_name": "app",
        "client_format": "chat",
        "status": "success",
        "http_status": 200,
    }
    return UsageRow(**{**fields, **changes})


def served_row(
    provider: str | None = "a",
    model: str = "m",
    *,
    duration_ms: int | None = 1000,
    ttft_ms: float | None = None,
    **changes: Any,
) -> UsageRow:
    """A request that `provider` served, with 10 tokens in and 100 out; time is the attempt's."""
    attempt = AttemptRecord(
        provider=provider or "",
        model=model,
        format="chat",
        status="success",
        duration_ms=duration_ms,
        ttft_ms=ttft_ms,
    )
    fields: dict[str, Any] = {
        "provider": provider,
        "model": model,
        "alias": "fast",
        "canonical_model": "quick",
        "input_tokens": 10,
        "output_tokens": 100,
        "attempts": (attempt,),
    }
    return make_row(**{**fields, **changes})


def full_row(**changes: Any) -> UsageRow:
    """A row in which every field has a value of its own."""
    fields: dict[str, Any] = {
        "client_request_id": "client-1",
        "client_session": "session-1",
        "ttft_ms": 31.25,
        "tokens_per_s": 55.5,
        "attribution": "team:blue",
        "source_ip": "2001:db8::1",
        "provider_format": "messages",
        "provider": "vendor",
        "alias": "fast",
        "canonical_model": "quick",
        "model": "vendor/quick:free",
        "streamed": True,
        "passthrough": True,
        "status": "stall",
        "http_status": 504,
        "error_code": "upstream_idle_timeout",
        "error_message": "The provider exceeded the idle time-out of 5 s. ✂",
        "finish_reason": "end_turn",
        "input_tokens": 11,
        "output_tokens": 12,
        "reasoning_tokens": 13,
        "cache_read_tokens": 14,
        "cache_write_tokens": 15,
        "tokens_estimated": True,
        "cost": Cost(
            input_nano_usd=21,
            output_nano_usd=22,
            cache_read_nano_usd=23,
            cache_write_nano_usd=24,
            total_nano_usd=90,
            source="simple",
            detail='{"source":"simple"}',
        ),
        "tools_defined": 31,
        "tool_calls": 32,
        "message_count": 33,
        "parallel_tool_calls": False,
        "attempts": (
            AttemptRecord(
                provider="other",
                model="quick",
                format="chat",
                status="failed",
                http_status=500,
                error_code="upstream_broken",
                reason="HTTP 500",
                duration_ms=40,
            ),
            AttemptRecord(
                provider="vendor", model="q", format="messages", status="success", ttft_ms=25.5
            ),
        ),
        "dropped_fields": ("logit_bias", "seed"),
    }
    return make_row(**{**fields, **changes})
