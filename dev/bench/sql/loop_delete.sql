-- Deletes rows that were delivered.
-- Locks: the rows.
-- Index: primary key.
delete from outbox_events t
using unnest(@ids::uuid[]) o (id)
where t.id = o.id
