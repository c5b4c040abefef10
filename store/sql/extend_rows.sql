-- Makes the leases of rows last their full length from now, where they are still
-- ours.
-- Locks: the rows.
-- Index: primary key.
update {{table}} t
set locked_at = now(), lease_until = clock_timestamp() + @lease::bigint * interval '1 microsecond'
from unnest(@ids::uuid[], @created_ats::timestamptz[], @tokens::bigint[]) o (id, created_at, token)
where t.id = o.id and t.created_at = o.created_at and t.status = 'pending'
	and t.lease_token = o.token and t.locked_by = @owner and t.lease_until is not null
returning t.id
