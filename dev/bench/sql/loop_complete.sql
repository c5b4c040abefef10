-- Marks rows as delivered.
-- Locks: the rows.
-- Index: primary key.
update outbox_events t
set status = 'completed', completed_at = now(), updated_at = now(), locked_at = null, locked_by = null
from unnest(@ids::uuid[]) o (id)
where t.id = o.id
