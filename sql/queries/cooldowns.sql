-- name: cooldown_put(provider, model, until_ms, since_ms, failures, cause, hard, source, message)
-- What another process wrote meanwhile is never shortened.
INSERT INTO cooldowns (
    provider, model, until_ms, since_ms, failures, cause, hard, source, message
) VALUES (
    :provider, :model, :until_ms, :since_ms, :failures, :cause, :hard, :source, :message
)
ON CONFLICT (provider, model) DO UPDATE SET
    until_ms = CASE
        WHEN excluded.until_ms > cooldowns.until_ms THEN excluded.until_ms
        ELSE cooldowns.until_ms
    END,
    since_ms = CASE
        WHEN excluded.since_ms > cooldowns.since_ms THEN excluded.since_ms
        ELSE cooldowns.since_ms
    END,
    failures = CASE
        WHEN excluded.failures > cooldowns.failures THEN excluded.failures
        ELSE cooldowns.failures
    END,
    cause = excluded.cause,
    hard = excluded.hard OR (cooldowns.hard AND cooldowns.until_ms > excluded.until_ms),
    source = excluded.source,
    message = excluded.message;

-- name: cooldown_delete(provider, model, since_ms)
-- Unless another process has noted a failure after that instant.
DELETE FROM cooldowns
WHERE provider = :provider AND model = :model AND since_ms <= :since_ms;

-- name: cooldown_rows()
SELECT provider, model, until_ms, since_ms, failures, cause, hard, source, message FROM cooldowns;

-- name: cooldowns_delete_before(before_ms)
-- What was over before an instant.
DELETE FROM cooldowns WHERE until_ms < :before_ms;
