-- Deletes handled events whose leases this transaction has locked.
-- One that was landed without a key, when rows were still kept, gets it now: else
-- its message would be new when it comes again.
-- Locks: the rows, then their keys.
-- Index: primary keys.
with deleted as (
	delete from {{table}} t
	using unnest(@ids::uuid[], @created_ats::timestamptz[]) o (id, created_at)
	where t.id = o.id and t.created_at = o.created_at and t.status = 'pending'
	returning t.id, t.created_at, t.message_id, t.consumer_group
), keys as (
	insert into omnibox.inbox_keys (table_name, consumer_group, message_id, event_id, landed_at)
	select {{name}}, d.consumer_group, d.message_id, d.id, d.created_at
	from deleted d
	order by d.message_id collate "C"
	on conflict (table_name, consumer_group, message_id) do nothing
)
select id from deleted
