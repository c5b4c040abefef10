-- Marks rows as delivered.
-- Locks: the rows.
-- Index: primary key.
update outbox_events
set status = 'completed', completed_at = now(), updated_at = now(), locked_at = null, locked_by = null
where id = any (@ids::uuid[])
