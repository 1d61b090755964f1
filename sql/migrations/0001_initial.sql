-- One row per client request, written once at its end. Instants are epoch milliseconds (UTC), money
-- is integer nano-dollars, JSON is text; the five token columns are disjoint.
CREATE TABLE usage (
    request_id TEXT NOT NULL PRIMARY KEY,
    client_request_id TEXT,
    client_session TEXT,
    started_at_ms BIGINT NOT NULL,
    duration_ms BIGINT NOT NULL,
    ttft_ms DOUBLE PRECISION,
    tokens_per_s DOUBLE PRECISION,
    created_at_ms BIGINT NOT NULL,
    key_name TEXT NOT NULL,
    attribution TEXT,
    source_ip TEXT,
    client_format TEXT NOT NULL,
    provider_format TEXT,
    provider TEXT,
    alias TEXT,
    canonical_model TEXT,
    model TEXT,
    streamed BOOLEAN NOT NULL,
    passthrough BOOLEAN NOT NULL,
    status TEXT NOT NULL,
    http_status INTEGER NOT NULL,
    error_code TEXT,
    error_message TEXT,
    finish_reason TEXT,
    input_tokens BIGINT NOT NULL,
    output_tokens BIGINT NOT NULL,
    reasoning_tokens BIGINT NOT NULL,
    cache_read_tokens BIGINT NOT NULL,
    cache_write_tokens BIGINT NOT NULL,
    tokens_estimated BOOLEAN NOT NULL,
    input_nano_usd BIGINT,
    output_nano_usd BIGINT,
    cache_read_nano_usd BIGINT,
    cache_write_nano_usd BIGINT,
    total_nano_usd BIGINT,
    cost_source TEXT NOT NULL,
    cost_detail TEXT,
    tools_defined BIGINT NOT NULL,
    tool_calls BIGINT NOT NULL,
    message_count BIGINT NOT NULL,
    parallel_tool_calls BOOLEAN,
    attempts TEXT NOT NULL,
    dropped_fields TEXT NOT NULL
);

CREATE INDEX usage_started_at ON usage (started_at_ms, request_id);
CREATE INDEX usage_key ON usage (key_name, started_at_ms);
CREATE INDEX usage_client_request_id ON usage (client_request_id)
WHERE client_request_id IS NOT NULL;
