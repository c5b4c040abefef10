-- Gives up the leases of rows that were not settled. Suspicion stays: what was
-- not handled is not cleared of it.
-- Locks: the rows, for update, in order.
-- Index: primary key.
with mine as materialized (
	select t.id, t.created_at
	from unnest(@ids::uuid[], @created_ats::timestamptz[], @tokens::bigint[]) o (id, created_at, token)
	join {{table}} t on t.id = o.id and t.created_at = o.created_at
	where t.status = 'pending' and t.lease_token = o.token and t.locked_by = @owner and t.lease_until is not null
	order by t.id
	for update of t
)
update {{table}} t
set lease_until = null, locked_at = null, locked_by = null
from mine m
where t.id = m.id and t.created_at = m.created_at
