-- Deletes events that are leased to us, by their slots or by their rows, for a
-- transaction that goes on; returns them. The lease is tested and not locked: who
-- takes it over waits for the rows alone. For many all leases are read once.
-- One that was landed without a key, when rows were still kept, gets it now: else
-- its message would be new when it comes again.
-- Locks: the rows, then their keys.
-- Index: primary keys.
with deleted as (
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
	returning t.id, t.created_at, t.message_id, t.consumer_group
), keys as (
	insert into omnibox.inbox_keys (table_name, consumer_group, message_id, event_id, landed_at)
	select {{name}}, d.consumer_group, d.message_id, d.id, d.created_at
	from deleted d
	order by d.message_id collate "C"
	on conflict (table_name, consumer_group, message_id) do nothing
)
select id, {{give back}} from deleted
