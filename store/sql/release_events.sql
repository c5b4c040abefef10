-- Events that were not tried are due again at once, free of lease and suspicion.
-- Locks: the rows, for update, in order.
-- Index: primary key.
with untried as materialized (
	select t.id, t.created_at
	from unnest(@ids::uuid[], @created_ats::timestamptz[]) o (id, created_at)
	join {{table}} t on t.id = o.id and t.created_at = o.created_at
	where t.status = 'pending' and (t.fetches > 0 or t.lease_until is not null)
	order by t.id
	for update of t
)
update {{table}} t
set fetches = 0, lease_until = null, locked_at = null, locked_by = null
from untried u
where t.id = u.id and t.created_at = u.created_at
