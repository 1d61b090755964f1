-- name: usage_insert(request_id, client_request_id, client_session, started_at_ms, duration_ms, ttft_ms, tokens_per_s, created_at_ms, key_name, attribution, source_ip, client_format, provider_format, provider, alias, canonical_model, model, streamed, passthrough, status, http_status, error_code, error_message, finish_reason, input_tokens, output_tokens, reasoning_tokens, cache_read_tokens, cache_write_tokens, tokens_estimated, input_nano_usd, output_nano_usd, cache_read_nano_usd, cache_write_nano_usd, total_nano_usd, cost_source, cost_detail, tools_defined, tool_calls, message_count, parallel_tool_calls, attempts, dropped_fields)
-- One row; a conflict unless usage_unless_known follows.
INSERT INTO usage (
    request_id, client_request_id, client_session, started_at_ms, duration_ms, ttft_ms,
    tokens_per_s, created_at_ms, key_name, attribution, source_ip, client_format, provider_format,
    provider, alias, canonical_model, model, streamed, passthrough, status, http_status, error_code,
    error_message, finish_reason, input_tokens, output_tokens, reasoning_tokens, cache_read_tokens,
    cache_write_tokens, tokens_estimated, input_nano_usd, output_nano_usd, cache_read_nano_usd,
    cache_write_nano_usd, total_nano_usd, cost_source, cost_detail, tools_defined, tool_calls,
    message_count, parallel_tool_calls, attempts, dropped_fields
) VALUES (
    :request_id, :client_request_id, :client_session, :started_at_ms, :duration_ms, :ttft_ms,
    :tokens_per_s, :created_at_ms, :key_name, :attribution, :source_ip, :client_format,
    :provider_format, :provider, :alias, :canonical_model, :model, :streamed, :passthrough, :status,
    :http_status, :error_code, :error_message, :finish_reason, :input_tokens, :output_tokens,
    :reasoning_tokens, :cache_read_tokens, :cache_write_tokens, :tokens_estimated, :input_nano_usd,
    :output_nano_usd, :cache_read_nano_usd, :cache_write_nano_usd, :total_nano_usd, :cost_source,
    :cost_detail, :tools_defined, :tool_calls, :message_count, :parallel_tool_calls, :attempts,
    :dropped_fields
);

-- name: usage_unless_known()
-- After usage_insert: a row that is already there stays as it is, and nothing is returned.
ON CONFLICT (request_id) DO NOTHING RETURNING request_id;

-- name: usage_row(request_id)
SELECT * FROM usage WHERE request_id = :request_id;

-- name: usage_rows()
-- All rows; conditions (and_…) and usage_newest_first follow.
SELECT * FROM usage WHERE TRUE;

-- name: usage_count()
-- How many rows; conditions follow.
SELECT COUNT(*) AS total FROM usage WHERE TRUE;

-- name: and_usage_from(start_ms)
AND started_at_ms >= :start_ms;

-- name: and_usage_until(end_ms)
AND started_at_ms <= :end_ms;

-- name: and_usage_of_key(key_name)
AND key_name = :key_name;

-- name: and_usage_of_attribution(attribution)
AND attribution = :attribution;

-- name: and_usage_of_client_request(client_request_id)
AND client_request_id = :client_request_id;

-- name: and_usage_of_client_format(client_format)
AND client_format = :client_format;

-- name: and_usage_of_provider_format(provider_format)
AND provider_format = :provider_format;

-- name: and_usage_with_status(status)
AND status = :status;

-- name: and_usage_provider_like(provider)
AND LOWER(provider) LIKE LOWER(CAST(:provider AS TEXT)) ESCAPE '!';

-- name: and_usage_alias_like(alias)
AND LOWER(alias) LIKE LOWER(CAST(:alias AS TEXT)) ESCAPE '!';

-- name: and_usage_model_like(model)
AND LOWER(model) LIKE LOWER(CAST(:model AS TEXT)) ESCAPE '!';

-- name: and_usage_at_least(min_duration_ms)
AND duration_ms >= :min_duration_ms;

-- name: and_usage_at_most(max_duration_ms)
AND duration_ms <= :max_duration_ms;

-- name: usage_newest_first(limit, offset)
-- Reads index usage_started_at backwards.
ORDER BY started_at_ms DESC, request_id DESC
LIMIT CAST(:limit AS BIGINT) OFFSET CAST(:offset AS BIGINT);

-- name: usage_delete(request_id)
DELETE FROM usage WHERE request_id = :request_id;

-- name: usage_delete_before(before_ms, most)
-- The oldest rows from before an instant, a bounded number at a time: no long write lock.
DELETE FROM usage WHERE request_id IN (
    SELECT request_id FROM usage WHERE started_at_ms < :before_ms
    ORDER BY started_at_ms LIMIT CAST(:most AS BIGINT)
);
