-- Completes a message, if it is pending and the worker's lease is still the same.
-- Locks: the row.
-- Index: primary keys.
update inbox_events
set status = 'completed', completed_at = now(), updated_at = now()
where id = $1 and status = 'pending'
	and exists (select from omnibox.slots s where s.table_name = 'loop' and s.slot = $2 and s.token = 1)
