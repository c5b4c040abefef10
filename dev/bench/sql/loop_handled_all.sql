-- Completes messages.
-- Locks: the rows.
-- Index: primary key.
update inbox_events t
set status = 'completed', completed_at = now(), updated_at = now()
from unnest($1::uuid[]) m (id)
where t.id = m.id and t.status = 'pending'
