-- Makes those who fetch from the same slots take turns, for the length of this
-- transaction. Slots that another fetch is reading are left out.
-- Locks: the lease rows, for update, skipping those that are locked.
-- Index: primary key of omnibox.slots.
select s.slot
from omnibox.slots s
where s.table_name = @table and s.slot = any (@slots::smallint[])
order by s.slot
for update skip locked
