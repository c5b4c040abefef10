-- Events that were not tried are due again at once, free of lease and suspicion.
-- Locks: the rows.
-- Index: primary key.
update {{table}} t
set fetches = 0, lease_until = null, locked_at = null, locked_by = null
from unnest(@ids::uuid[], @created_ats::timestamptz[]) o (id, created_at)
where t.id = o.id and t.created_at = o.created_at and t.status = 'pending'
	and (t.fetches > 0 or t.lease_until is not null)
