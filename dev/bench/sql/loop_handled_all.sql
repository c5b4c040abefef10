-- Completes messages if the worker still has its lease.
-- Locks: the rows.
-- Index: primary key.
update inbox_events t
set status = 'completed', completed_at = now(), updated_at = now()
from unnest($1::uuid[]) m (id)
where t.id = m.id and t.status = 'pending'
	and exists (select from omnibox.slots where table_name = 'loop' and slot = $2::int and token = 1)
