-- Which rows are still leased to us.
-- Locks: the rows, for update, in order.
-- Index: primary key.
select t.id
from unnest(@ids::uuid[], @created_ats::timestamptz[], @tokens::bigint[]) o (id, created_at, token)
join {{table}} t on t.id = o.id and t.created_at = o.created_at
where t.status = 'pending' and t.lease_token = o.token and t.locked_by = @owner and t.lease_until is not null
order by t.id
for update of t
