-- Marks all rows as delivered.
-- Locks: the rows.
-- Index: none.
update outbox_events set status = 'completed', completed_at = now()
