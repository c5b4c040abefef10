-- Deletes delivered events whose rows are still leased to us; returns those.
-- Locks: the rows.
-- Index: primary key.
delete from {{table}} t
using unnest(@ids::uuid[], @created_ats::timestamptz[], @tokens::bigint[]) o (id, created_at, token)
where t.id = o.id and t.created_at = o.created_at and t.status = 'pending'
	and t.lease_token = o.token and t.locked_by = @owner and t.lease_until is not null
returning t.id
