-- How often the event of an order has failed, and what became of it.
-- Locks: none.
-- Index: primary key of outbox_events.
select attempts_made, status
from outbox_events
where id = @id
