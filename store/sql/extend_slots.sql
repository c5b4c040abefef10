-- Makes leases last their full length from now, where they are still ours.
-- Locks: the lease rows, for update, in order; waits for a settle to finish.
-- Index: primary key of omnibox.slots.
with mine as materialized (
	select s.slot
	from omnibox.slots s
	where s.table_name = @table
		and (s.slot, s.token) in (select * from unnest(@slots::smallint[], @tokens::bigint[]))
	order by s.slot
	for update
)
update omnibox.slots s
set lease_until = clock_timestamp() + @lease::bigint * interval '1 microsecond'
from mine
where s.table_name = @table and s.slot = mine.slot
returning s.slot
