-- name: bindings_put(key_hash, provider, model, used_at_ms)
-- The target that served last counts, whichever process comes to write first.
INSERT INTO bindings (key_hash, provider, model, used_at_ms)
VALUES (:key_hash, :provider, :model, :used_at_ms)
ON CONFLICT (key_hash) DO UPDATE SET
    provider = excluded.provider,
    model = excluded.model,
    used_at_ms = excluded.used_at_ms
WHERE excluded.used_at_ms >= bindings.used_at_ms;

-- name: bindings_of(first, second, since_ms)
-- Of up to two keys, those that were used since an instant.
SELECT key_hash, provider, model, used_at_ms FROM bindings
WHERE key_hash IN (:first, :second) AND used_at_ms > :since_ms;

-- name: bindings_delete_before(before_ms, most)
-- A bounded number at a time: no long write lock.
DELETE FROM bindings WHERE key_hash IN (
    SELECT key_hash FROM bindings WHERE used_at_ms <= :before_ms
    ORDER BY used_at_ms LIMIT CAST(:most AS BIGINT)
);
