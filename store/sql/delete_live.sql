-- Deletes events that are leased to us, by their slots or by their rows, for a
-- transaction that goes on; returns them. The lease is tested and not locked: who
-- takes it over waits for the rows alone. For many all leases are read once.
-- Locks: the rows.
-- Index: primary keys.
delete from {{table}} t
using unnest(@ids::uuid[], @created_ats::timestamptz[], @slots::smallint[], @tokens::bigint[])
	o (id, created_at, slot, token)
where t.id = o.id and t.created_at = o.created_at and t.status = 'pending'
	and case
		when @rows::boolean then t.lease_token = o.token and t.locked_by = @owner and t.lease_until is not null
		when cardinality(@ids::uuid[]) = 1 then exists (
			select from omnibox.slots s where s.table_name = @table and s.slot = o.slot and s.token = o.token)
		else (o.slot, o.token) in (select s.slot, s.token from omnibox.slots s where s.table_name = @table)
	end
returning t.id, {{give back}}
