-- Of rows that are not leased to us any more: what they are now, and whether
-- nobody has leased them since. A row that is gone is not listed.
-- Locks: none.
-- Index: primary key.
select t.id, t.status = 'pending' as pending,
	coalesce(t.lease_token = o.token, false) and coalesce(t.locked_by in (@owner, 'backoff'), true) as ours
from unnest(@ids::uuid[], @created_ats::timestamptz[], @tokens::bigint[]) o (id, created_at, token)
join {{table}} t on t.id = o.id and t.created_at = o.created_at
