-- Holds that are over: those of events that are not pending any more. Another
-- relay or a person has completed or deleted the row, or it was settled with too
-- much behind it to be set free at once.
-- Locks: none.
-- Index: primary key of omnibox.holds; primary key of the table, a probe a hold.
select h.topic, h.partition_key, h.reason
from omnibox.holds h
where h.table_name = @table and h.event_id is not null
	and (
		select t.status from {{table}} t where t.id = h.event_id and t.created_at = h.event_created_at
	) is distinct from 'pending'
order by h.topic, h.partition_key, h.reason
