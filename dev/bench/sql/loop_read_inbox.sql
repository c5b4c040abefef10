-- The next due messages of the worker's slots, slot by slot.
-- Locks: none.
-- Index: _due.
select id, hashtextextended(partition_key, hashtextextended(topic, 0)) & 63, seq, message_id, partition_key, payload
from inbox_events
where ((hashtextextended(partition_key, hashtextextended(topic, 0)) & 63), seq) > ($1::bigint, $2::bigint)
	and (hashtextextended(partition_key, hashtextextended(topic, 0)) & 63) < $3::bigint
	and status = 'pending' and not held and (scheduled_at - created_at) <= interval '1 second'
order by (hashtextextended(partition_key, hashtextextended(topic, 0)) & 63), seq
limit $4
