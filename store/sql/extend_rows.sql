-- Makes the leases of rows last their full length from now, where they are still
-- ours. A row that is locked is left out: most likely our own handler is at work on
-- it, and has completed it in a transaction of its own; it would be waited for, and
-- the leases of all others would run out. Nobody can lease it meanwhile.
-- Locks: the rows, for update, in order, skipping those that are locked.
-- Index: primary key.
with mine as materialized (
	select t.id, t.created_at
	from unnest(@ids::uuid[], @created_ats::timestamptz[], @tokens::bigint[]) o (id, created_at, token)
	join {{table}} t on t.id = o.id and t.created_at = o.created_at
	where t.status = 'pending' and t.lease_token = o.token and t.locked_by = @owner and t.lease_until is not null
	order by t.id
	for update of t skip locked
)
update {{table}} t
set locked_at = now(), lease_until = clock_timestamp() + @lease::bigint * interval '1 microsecond'
from mine m
where t.id = m.id and t.created_at = m.created_at
returning t.id
