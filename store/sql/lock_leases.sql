-- Which leases are still ours. A test whether one exists would not do: it would
-- see the lease as it was before a takeover.
-- Locks: the lease rows, for share, in order; a takeover waits or has happened.
-- Index: primary key of omnibox.slots.
select s.slot, s.token
from omnibox.slots s
where s.table_name = @table
	and (s.slot, s.token) in (select * from unnest(@slots::smallint[], @tokens::bigint[]))
order by s.slot
for share
