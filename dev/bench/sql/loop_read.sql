-- The next due rows of the worker's slots, slot by slot.
-- Locks: none.
-- Index: _due.
select id, hashtextextended(partition_key, hashtextextended(topic, 0)) & 63, seq, topic, partition_key, event_type, payload
from outbox_events
where ((hashtextextended(partition_key, hashtextextended(topic, 0)) & 63), seq) > (@slot::bigint, @seq::bigint)
	and (hashtextextended(partition_key, hashtextextended(topic, 0)) & 63) < @end::bigint
	and status = 'pending' and not held and (scheduled_at - created_at) <= interval '1 second'
order by (hashtextextended(partition_key, hashtextextended(topic, 0)) & 63), seq
limit @batch
