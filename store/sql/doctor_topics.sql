-- Topics of events that are to be delivered, from some thousand rows alone.
-- Takes no lock. Index: the table's due index.
select distinct topic
from (
	select topic
	from {{table}}
	where status = 'pending' and not held and (scheduled_at - created_at) <= interval '1 second'
	limit 5000
) sample
order by topic
limit 50
