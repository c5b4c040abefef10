-- Every order with the status of its event, which is null if it has none.
-- Locks: none.
-- Index: none; the whole tables are read, at the end.
select o.id, o.customer, o.number, coalesce(e.status, 'missing')
from orders o left join outbox_events e on e.aggregate_id = o.id
