-- Makes the leases of rows last their full length from now, where they are still
-- ours.
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
set locked_at = now(), lease_until = clock_timestamp() + @lease::bigint * interval '1 microsecond'
from mine m
where t.id = m.id and t.created_at = m.created_at
returning t.id
