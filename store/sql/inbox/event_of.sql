-- The event that a message is in the table.
-- Locks: none.
-- Index: the unique one on message_id and consumer_group or, where the table has
-- none, the primary key of omnibox.inbox_keys.
select t.id from {{table}} t where t.message_id = @message_id and t.consumer_group = @group and not @keyed::boolean
union all
select k.event_id from omnibox.inbox_keys k
where k.table_name = @table and k.consumer_group = @group and k.message_id = @message_id and @keyed::boolean
limit 1
