-- What assistant turns thought, for clients that do not send it back. One row per anchor: the id of
-- one of the turn's tool calls, or a hash of its text. `parts` is JSON, sealed when there is an
-- encryption key. Rows past `expires_at_ms` (epoch milliseconds) are dead.
CREATE TABLE reasoning (
    key_name TEXT NOT NULL,
    anchor TEXT NOT NULL,
    parts TEXT NOT NULL,
    size_bytes BIGINT NOT NULL,
    expires_at_ms BIGINT NOT NULL,
    PRIMARY KEY (key_name, anchor)
);

CREATE INDEX reasoning_expires_at ON reasoning (expires_at_ms, size_bytes);
