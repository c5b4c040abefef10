-- Completes events whose leases this transaction has locked.
-- Locks: the rows.
-- Index: primary key.
update {{table}} t
set status = 'completed', completed_at = greatest(now(), t.created_at, t.scheduled_at), updated_at = now(),
	held = false, fetches = 0, lease_until = null, locked_at = null, locked_by = null
from unnest(@ids::uuid[], @created_ats::timestamptz[]) o (id, created_at)
where t.id = o.id and t.created_at = o.created_at and t.status = 'pending'
