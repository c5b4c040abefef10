-- Completes events of slots that are still leased under their tokens; returns
-- those leases. What is final already is left alone.
-- Locks: the lease rows, for share, in order; then the rows.
-- Index: primary keys.
with leases as materialized (
	select s.slot, s.token
	from omnibox.slots s
	where s.table_name = @table
		and (s.slot, s.token) in (select * from unnest(@lease_slots::smallint[], @lease_tokens::bigint[]))
	order by s.slot
	for share
), completed as (
	update {{table}} t
	set status = 'completed', completed_at = greatest(now(), t.created_at, t.scheduled_at), updated_at = now(),
		held = false, fetches = 0, lease_until = null, locked_at = null, locked_by = null
	from unnest(@ids::uuid[], @created_ats::timestamptz[], @slots::smallint[], @tokens::bigint[])
		o (id, created_at, slot, token)
	join leases l on l.slot = o.slot and l.token = o.token
	where t.id = o.id and t.created_at = o.created_at and t.status = 'pending'
)
select slot, token from leases
