-- Every invoice in the order of writing, and whether its event has been sent.
-- Locks: none.
-- Index: none; the whole tables are read, at the end.
select i.order_id, i.customer, i.ordinal, coalesce(e.status, 'missing')
from invoices i left join outbox_events e on e.aggregate_id = i.id
order by i.number
