-- Forgets messages that were landed long ago and are final, some at a time.
-- Locks: the keys, those that others have locked left out.
-- Index: inbox_keys_landed; primary key of the table.
with old as materialized (
	select k.message_id
	from omnibox.inbox_keys k
	where k.table_name = @table and k.consumer_group = @group
		and k.landed_at < now() - @window::bigint * interval '1 microsecond'
		and not exists (
			select from {{table}} t
			where t.id = k.event_id and t.created_at = k.landed_at and t.status = 'pending'
		)
	order by k.landed_at
	limit @most
	for update skip locked
)
delete from omnibox.inbox_keys k
using old
where k.table_name = @table and k.consumer_group = @group and k.message_id = old.message_id
