-- name: reasoning_keep(key_name, anchor, parts, size_bytes, expires_at_ms)
-- The newest turn of an anchor counts.
INSERT INTO reasoning (key_name, anchor, parts, size_bytes, expires_at_ms)
VALUES (:key_name, :anchor, :parts, :size_bytes, :expires_at_ms)
ON CONFLICT (key_name, anchor) DO UPDATE SET
    parts = excluded.parts,
    size_bytes = excluded.size_bytes,
    expires_at_ms = excluded.expires_at_ms;

-- name: reasoning_of(key_name, a1, a2, a3, a4, a5, a6, a7, a8, now_ms)
-- What is kept under up to eight anchors.
SELECT anchor, parts, expires_at_ms FROM reasoning
WHERE key_name = :key_name
    AND anchor IN (:a1, :a2, :a3, :a4, :a5, :a6, :a7, :a8)
    AND expires_at_ms > :now_ms;

-- name: reasoning_size()
-- Bytes of all rows; reads index reasoning_expires_at alone.
SELECT CAST(COALESCE(SUM(size_bytes), 0) AS BIGINT) AS total_bytes FROM reasoning;

-- name: reasoning_delete_expired(now_ms, most)
-- A bounded number at a time: no long write lock.
DELETE FROM reasoning WHERE (key_name, anchor) IN (
    SELECT key_name, anchor FROM reasoning WHERE expires_at_ms <= :now_ms
    ORDER BY expires_at_ms LIMIT CAST(:most AS BIGINT)
);

-- name: reasoning_delete_oldest(most)
DELETE FROM reasoning WHERE (key_name, anchor) IN (
    SELECT key_name, anchor FROM reasoning
    ORDER BY expires_at_ms LIMIT CAST(:most AS BIGINT)
);
