-- Which of some messages of the group are pending, or failed with an open dead
-- letter, where only their keys lead to the rows. Takes no lock.
-- Index: primary keys of omnibox.inbox_keys and of the table; dead_letters_open.
select k.message_id, t.status
from unnest(@message_ids::text[]) o (message_id)
join omnibox.inbox_keys k on k.table_name = @table and k.consumer_group = @group and k.message_id = o.message_id
join {{table}} t on t.id = k.event_id and t.created_at = k.landed_at
where t.status = 'pending' or t.status = 'failed' and exists (
	select from omnibox.dead_letters d
	where d.table_name = @table and d.event_id = t.id and d.event_created_at = t.created_at and d.state = 'open'
)
