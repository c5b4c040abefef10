-- Writes orders of one customer.
-- Locks: the new rows.
-- Index: none.
insert into orders (id, customer, number, cents, currency, placed_at)
select id, @customer, number, cents, @currency, @placed_at
from unnest(@ids::uuid[], @numbers::int[], @cents::int[]) as o (id, number, cents)
