-- Gives up the leases of rows that were not settled. Suspicion stays: what was
-- not handled is not cleared of it.
-- Locks: the rows.
-- Index: primary key.
update {{table}} t
set lease_until = null, locked_at = null, locked_by = null
from unnest(@ids::uuid[], @created_ats::timestamptz[], @tokens::bigint[]) o (id, created_at, token)
where t.id = o.id and t.created_at = o.created_at and t.status = 'pending'
	and t.lease_token = o.token and t.locked_by = @owner and t.lease_until is not null
