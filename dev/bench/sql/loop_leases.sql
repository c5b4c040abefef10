-- Gives each worker of a raw loop a lease, on a slot of its own.
-- Locks: the new rows.
-- Index: none.
insert into omnibox.slots (table_name, slot, token)
select 'loop', n, 1
from generate_series(0, $1::int - 1) n
