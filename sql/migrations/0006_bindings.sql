-- Which target served a conversation last. `key_hash` is a hash of client key, alias and session:
-- nothing a client said is kept. Rows not used since a day (epoch milliseconds) are dead.
CREATE TABLE bindings (
    key_hash TEXT NOT NULL PRIMARY KEY,
    provider TEXT NOT NULL,
    model TEXT NOT NULL,
    used_at_ms BIGINT NOT NULL
);

CREATE INDEX bindings_used_at ON bindings (used_at_ms);
