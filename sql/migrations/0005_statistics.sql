-- What requests say about targets and aliases. Written with the usage rows, kept when those are
-- deleted. Instants are epoch milliseconds.

-- How fast a target served one request: the newest of each. NULL: not known.
CREATE TABLE samples (
    request_id TEXT NOT NULL PRIMARY KEY,
    provider TEXT NOT NULL,
    model TEXT NOT NULL,
    at_ms BIGINT NOT NULL,
    ttft_ms DOUBLE PRECISION,
    tokens_per_s DOUBLE PRECISION,
    e2e_tokens_per_s DOUBLE PRECISION
);

CREATE INDEX samples_at ON samples (at_ms);

-- Sums over the requests that began in an hour. Cache reads and writes are not part of the input,
-- reasoning is part of the output.
CREATE TABLE traffic (
    hour_ms BIGINT NOT NULL,
    alias TEXT NOT NULL,
    provider TEXT NOT NULL,
    model TEXT NOT NULL,
    requests BIGINT NOT NULL,
    input_tokens BIGINT NOT NULL,
    output_tokens BIGINT NOT NULL,
    cache_read_tokens BIGINT NOT NULL,
    cache_write_tokens BIGINT NOT NULL,
    PRIMARY KEY (hour_ms, alias, provider, model)
);
