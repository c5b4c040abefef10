-- Deletes handled events of slots that are still leased under their tokens;
-- returns those leases.
-- One that was landed without a key, when rows were still kept, gets it now: else
-- its message would be new when it comes again.
-- Locks: the lease rows, for share, in order; then the rows and their keys.
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
	returning t.id, t.created_at, t.message_id, t.consumer_group
), keys as (
	insert into omnibox.inbox_keys (table_name, consumer_group, message_id, event_id, landed_at)
	select {{name}}, d.consumer_group, d.message_id, d.id, d.created_at
	from deleted d
	order by d.message_id collate "C"
	on conflict (table_name, consumer_group, message_id) do nothing
)
select slot, token from leases
