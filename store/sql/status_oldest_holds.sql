-- The keys that have been held longest, with how many rows wait behind each, up
-- to a cap. Takes no lock. Index: the table's held index.
select h.topic, h.partition_key, h.reason, h.since, coalesce(h.held_by, '') as held_by, h.event_id, waiting.n as waiting
from (
	select * from omnibox.holds
	where table_name = @table
	order by since
	limit @limit
) h
cross join lateral (
	select count(*) as n
	from (
		select from {{table}} t
		where t.held and t.topic = h.topic and t.partition_key = h.partition_key
		limit @cap + 1
	) capped
) waiting
order by h.since
