-- Gives leases up, in order: the next owner has nothing to suspect.
-- Locks: the lease rows, for update, in order.
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
set owner = null, lease_until = '-infinity', dirty = false
from mine
where s.table_name = @table and s.slot = mine.slot
