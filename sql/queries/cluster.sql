-- name: lease_take(name, holder, expires_at_ms, now_ms)
-- Touches no row if another holds it.
INSERT INTO leases (name, holder, expires_at_ms)
VALUES (:name, :holder, :expires_at_ms)
ON CONFLICT (name) DO UPDATE SET
    holder = excluded.holder,
    expires_at_ms = excluded.expires_at_ms
WHERE leases.holder = excluded.holder OR leases.expires_at_ms <= :now_ms;

-- name: lease_release(name, holder)
DELETE FROM leases WHERE name = :name AND holder = :holder;

-- name: member_renew(id, host, pid, started_at_ms, expires_at_ms, config_digest)
INSERT INTO members (id, host, pid, started_at_ms, expires_at_ms, config_digest)
VALUES (:id, :host, :pid, :started_at_ms, :expires_at_ms, :config_digest)
ON CONFLICT (id) DO UPDATE SET
    expires_at_ms = excluded.expires_at_ms,
    config_digest = excluded.config_digest;

-- name: members_all()
-- Dead ones included; a row per process.
SELECT id, host, pid, started_at_ms, expires_at_ms, config_digest FROM members
ORDER BY started_at_ms, id;

-- name: member_remove(id)
DELETE FROM members WHERE id = :id;

-- name: members_delete_dead(before_ms)
DELETE FROM members WHERE expires_at_ms < :before_ms;

-- name: revision_of(name)
SELECT revision FROM revisions WHERE name = :name;

-- name: revision_bump(name)
INSERT INTO revisions (name, revision) VALUES (:name, 1)
ON CONFLICT (name) DO UPDATE SET revision = revisions.revision + 1
RETURNING revision;
