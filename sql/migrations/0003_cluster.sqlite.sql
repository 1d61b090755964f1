-- What workers and replicas share.

-- Who may do a job that one process does for all. Free when nobody has it or it has expired.
-- Instants are epoch milliseconds.
CREATE TABLE leases (
    name TEXT NOT NULL PRIMARY KEY,
    holder TEXT NOT NULL,
    expires_at_ms BIGINT NOT NULL
);

-- One row per process, renewed while it lives.
CREATE TABLE members (
    id TEXT NOT NULL PRIMARY KEY,
    host TEXT NOT NULL,
    pid BIGINT NOT NULL,
    started_at_ms BIGINT NOT NULL,
    expires_at_ms BIGINT NOT NULL,
    config_digest TEXT NOT NULL
);

-- Grows with each change of what is named.
CREATE TABLE revisions (
    name TEXT NOT NULL PRIMARY KEY,
    revision BIGINT NOT NULL
);

-- Notices to the other processes, for a minute; PostgreSQL has NOTIFY.
CREATE TABLE bus (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    notice TEXT NOT NULL,
    sent_at_ms BIGINT NOT NULL
);
