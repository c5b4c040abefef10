-- Topics of events that are to be delivered, those that were tried already and
-- those that fall due later among them, from two dozen rows a slot at most. Takes
-- no lock. Index: the table's due and scheduled indexes.
select distinct first.topic
from generate_series(0, 63) as slots (slot)
cross join lateral (
	(
		select t.topic from {{table}} t
		where (hashtextextended(t.partition_key, hashtextextended(t.topic, 0)) & 63) = slots.slot
			and t.status = 'pending' and not t.held and (t.scheduled_at - t.created_at) <= interval '1 second'
		order by t.seq
		limit 12
	) union all (
		select t.topic from {{table}} t
		where (hashtextextended(t.partition_key, hashtextextended(t.topic, 0)) & 63) = slots.slot
			and t.status = 'pending' and not t.held and (t.scheduled_at - t.created_at) > interval '1 second'
		order by t.scheduled_at
		limit 12
	)
) first
order by first.topic
limit 50
