-- name: sample_insert(request_id, provider, model, at_ms, ttft_ms, tokens_per_s, e2e_tokens_per_s)
-- One sample; one that is there already stays as it is.
INSERT INTO samples (
    request_id, provider, model, at_ms, ttft_ms, tokens_per_s, e2e_tokens_per_s
) VALUES (
    :request_id, :provider, :model, :at_ms, :ttft_ms, :tokens_per_s, :e2e_tokens_per_s
) ON CONFLICT (request_id) DO NOTHING;

-- name: samples_since(since_ms, most)
-- The newest samples of each target from an instant on, oldest first. Reads index samples_at.
SELECT request_id, provider, model, at_ms, ttft_ms, tokens_per_s, e2e_tokens_per_s
FROM (
    SELECT samples.*, ROW_NUMBER() OVER (
        PARTITION BY provider, model ORDER BY at_ms DESC, request_id DESC
    ) AS place
    FROM samples WHERE at_ms >= :since_ms
) AS ranked
WHERE place <= CAST(:most AS BIGINT)
ORDER BY at_ms, request_id;

-- name: samples_trim(keep, most)
-- All but the newest samples of each target, a bounded number at a time.
DELETE FROM samples WHERE request_id IN (
    SELECT request_id FROM (
        SELECT request_id, ROW_NUMBER() OVER (
            PARTITION BY provider, model ORDER BY at_ms DESC, request_id DESC
        ) AS place
        FROM samples
    ) AS ranked
    WHERE place > CAST(:keep AS BIGINT) LIMIT CAST(:most AS BIGINT)
);

-- name: samples_delete()
-- All samples; conditions (and_samples_…) follow.
DELETE FROM samples WHERE TRUE;

-- name: performance()
-- Averages of each target over the newest samples that know the number.
SELECT
    provider, model,
    AVG(CASE WHEN ttft_place <= 10 THEN ttft_ms END) AS avg_ttft_ms,
    MIN(CASE WHEN ttft_place <= 10 THEN ttft_ms END) AS min_ttft_ms,
    MAX(CASE WHEN ttft_place <= 10 THEN ttft_ms END) AS max_ttft_ms,
    AVG(CASE WHEN speed_place <= 10 THEN tokens_per_s END) AS avg_tokens_per_s,
    MIN(CASE WHEN speed_place <= 10 THEN tokens_per_s END) AS min_tokens_per_s,
    MAX(CASE WHEN speed_place <= 10 THEN tokens_per_s END) AS max_tokens_per_s,
    AVG(CASE WHEN e2e_place <= 10 THEN e2e_tokens_per_s END) AS avg_e2e_tokens_per_s,
    SUM(CASE WHEN place <= 10 THEN 1 ELSE 0 END) AS sample_count,
    MAX(at_ms) AS last_updated_ms
FROM (
    SELECT
        samples.*,
        ROW_NUMBER() OVER (
            PARTITION BY provider, model ORDER BY at_ms DESC, request_id DESC
        ) AS place,
        ROW_NUMBER() OVER (
            PARTITION BY provider, model, ttft_ms IS NULL ORDER BY at_ms DESC, request_id DESC
        ) AS ttft_place,
        ROW_NUMBER() OVER (
            PARTITION BY provider, model, tokens_per_s IS NULL ORDER BY at_ms DESC, request_id DESC
        ) AS speed_place,
        ROW_NUMBER() OVER (
            PARTITION BY provider, model, e2e_tokens_per_s IS NULL
            ORDER BY at_ms DESC, request_id DESC
        ) AS e2e_place
    FROM samples
) AS ranked
GROUP BY provider, model ORDER BY provider, model;

-- name: and_samples_of_provider(provider)
AND provider = :provider;

-- name: and_samples_of_model(model)
AND model = :model;

-- name: traffic_add(hour_ms, alias, provider, model, requests, input_tokens, output_tokens, cache_read_tokens, cache_write_tokens)
INSERT INTO traffic (
    hour_ms, alias, provider, model, requests, input_tokens, output_tokens, cache_read_tokens,
    cache_write_tokens
) VALUES (
    :hour_ms, :alias, :provider, :model, :requests, :input_tokens, :output_tokens,
    :cache_read_tokens, :cache_write_tokens
) ON CONFLICT (hour_ms, alias, provider, model) DO UPDATE SET
    requests = traffic.requests + excluded.requests,
    input_tokens = traffic.input_tokens + excluded.input_tokens,
    output_tokens = traffic.output_tokens + excluded.output_tokens,
    cache_read_tokens = traffic.cache_read_tokens + excluded.cache_read_tokens,
    cache_write_tokens = traffic.cache_write_tokens + excluded.cache_write_tokens;

-- name: traffic_by_target(since_ms)
-- Sums of each target over the hours from an instant on. Reads the primary key.
SELECT
    provider, model,
    CAST(SUM(requests) AS BIGINT) AS requests,
    CAST(SUM(input_tokens) AS BIGINT) AS input_tokens,
    CAST(SUM(output_tokens) AS BIGINT) AS output_tokens,
    CAST(SUM(cache_read_tokens) AS BIGINT) AS cache_read_tokens,
    CAST(SUM(cache_write_tokens) AS BIGINT) AS cache_write_tokens
FROM traffic WHERE hour_ms >= :since_ms
GROUP BY provider, model;

-- name: traffic_by_alias(since_ms)
-- Sums of each alias over the hours from an instant on, the busiest first.
SELECT
    alias,
    CAST(SUM(requests) AS BIGINT) AS requests,
    CAST(SUM(input_tokens) AS BIGINT) AS input_tokens,
    CAST(SUM(output_tokens) AS BIGINT) AS output_tokens,
    CAST(SUM(cache_read_tokens) AS BIGINT) AS cache_read_tokens,
    CAST(SUM(cache_write_tokens) AS BIGINT) AS cache_write_tokens
FROM traffic WHERE hour_ms >= :since_ms
GROUP BY alias ORDER BY requests DESC, alias;

-- name: traffic_delete_before(before_ms)
DELETE FROM traffic WHERE hour_ms < :before_ms;
