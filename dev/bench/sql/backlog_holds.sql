-- The holds of the keys whose events backlog.sql marks as held.
-- Locks: the new rows.
-- Index: none.
insert into omnibox.holds (table_name, topic, partition_key, reason)
select @table, @topic, 'held-' || n, 'paused'
from generate_series(0, 99) n
