-- Deletes rows that were delivered.
-- Locks: the rows.
-- Index: primary key.
delete from outbox_events where id = any (@ids::uuid[])
