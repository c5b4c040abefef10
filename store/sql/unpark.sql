-- Takes the workflow that was to wait for a person from a dead event.
-- Locks: the dead letter.
-- Index: dead_letters_open.
update omnibox.dead_letters
set parked_until = null
where table_name = @table and event_id = @id::uuid and event_created_at = @created_at::timestamptz and state = 'open'
