-- Deletes delivered events of slots that are still leased under their tokens;
-- returns those leases.
-- Locks: the lease rows, for share, in order; then the rows.
-- Index: primary keys.
with leases as materialized (
	select s.slot, s.token
	from omnibox.slots s
	where s.table_name = @table
		and (s.slot, s.token) in (select * from unnest(@lease_slots::smallint[], @lease_tokens::bigint[]))
	order by s.slot
	for share
), deleted as (
	delete from {{table}} t
	using unnest(@ids::uuid[], @created_ats::timestamptz[], @slots::smallint[], @tokens::bigint[])
		o (id, created_at, slot, token)
	join leases l on l.slot = o.slot and l.token = o.token
	where t.id = o.id and t.created_at = o.created_at and t.status = 'pending'
)
select slot, token from leases
