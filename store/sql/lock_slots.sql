-- Makes those who fetch from the same slots take turns, for the length of this
-- transaction. Whoever has stalled in its turn is waited for a second.
-- Locks: the lease rows, for update, in order.
-- Index: primary key of omnibox.slots.
with patience as materialized (
	select set_config('lock_timeout', '1s', true)
)
select s.slot
from patience
cross join omnibox.slots s
where s.table_name = @table and s.slot = any (@slots::smallint[])
order by s.slot
for update of s
