-- name: cooldown_put(provider, model, until_ms, since_ms, failures, cause, hard_until_ms, source, message)
-- What another process wrote meanwhile is never shortened.
INSERT INTO cooldowns (
    provider, model, until_ms, since_ms, failures, cause, hard_until_ms, source, message
) VALUES (
    :provider, :model, :until_ms, :since_ms, :failures, :cause, :hard_until_ms, :source, :message
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
    hard_until_ms = CASE
        WHEN excluded.hard_until_ms > cooldowns.hard_until_ms THEN excluded.hard_until_ms
        ELSE cooldowns.hard_until_ms
    END,
    cause = CASE
        WHEN excluded.until_ms >= cooldowns.until_ms THEN excluded.cause ELSE cooldowns.cause
    END,
    source = CASE
        WHEN excluded.until_ms >= cooldowns.until_ms THEN excluded.source ELSE cooldowns.source
    END,
    message = CASE
        WHEN excluded.until_ms >= cooldowns.until_ms THEN excluded.message ELSE cooldowns.message
    END;

-- name: cooldown_delete(provider, model, since_ms)
-- Unless another process has noted a failure after that instant.
DELETE FROM cooldowns
WHERE provider = :provider AND model = :model AND since_ms <= :since_ms;

-- name: cooldown_rows()
SELECT provider, model, until_ms, since_ms, failures, cause, hard_until_ms, source, message FROM cooldowns;

-- name: cooldowns_delete_before(before_ms)
-- What was over before an instant.
DELETE FROM cooldowns WHERE until_ms < :before_ms;
