-- Ends a hold that is over, unless its event has been put back.
-- Locks: the hold, for update: waits for a fetch that is marking rows.
-- Index: primary key of omnibox.holds; primary key of the table.
delete from omnibox.holds h
where h.table_name = @table and h.topic = @topic and h.partition_key = @key and h.reason = @reason
	and (
		select t.status from {{table}} t where t.id = h.event_id and t.created_at = h.event_created_at
	) is distinct from 'pending'
