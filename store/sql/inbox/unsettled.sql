-- Which of some messages of the group are pending, or failed with an open dead
-- letter. Takes no lock.
-- Index: the unique one on message_id and consumer_group; dead_letters_open.
select t.message_id, t.status
from unnest(@message_ids::text[]) o (message_id)
join {{table}} t on t.message_id = o.message_id and t.consumer_group = @group
where t.status = 'pending' or t.status = 'failed' and exists (
	select from omnibox.dead_letters d
	where d.table_name = @table and d.event_id = t.id and d.event_created_at = t.created_at and d.state = 'open'
)
