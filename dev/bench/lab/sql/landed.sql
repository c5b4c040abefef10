-- How many rows there are of messages that nobody has handled; at how many places
-- of the topic they were; how many come before an earlier one of their partition.
-- Locks: none.
-- Index: none.
select count(*), count(distinct (topic, partition, "offset")), count(*) filter (where "offset" <= before)
from (
	select topic, partition, "offset", lag("offset") over (partition by topic, partition order by seq) as before
	from inbox_events
	where status = 'pending'
) e
