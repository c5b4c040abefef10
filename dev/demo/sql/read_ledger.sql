-- Every order with the status of its event and what that correlates to.
-- Locks: none.
-- Index: none; the whole tables are read, at the end.
select o.id, o.customer, o.number, coalesce(e.status, 'missing'), coalesce(e.correlation_id, '')
from orders o left join outbox_events e on e.aggregate_id = o.id
