-- Completes events whose rows are still leased to us; returns those.
-- Locks: the rows.
-- Index: primary key.
update {{table}} t
set status = 'completed', completed_at = greatest(now(), t.created_at, t.scheduled_at), updated_at = now(),
	held = false, fetches = 0, lease_until = null, locked_at = null, locked_by = null
from unnest(@ids::uuid[], @created_ats::timestamptz[], @tokens::bigint[]) o (id, created_at, token)
where t.id = o.id and t.created_at = o.created_at and t.status = 'pending'
	and t.lease_token = o.token and t.locked_by = @owner and t.lease_until is not null
returning t.id
