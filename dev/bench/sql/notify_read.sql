-- What is due, all slots together: few rows, when a loop keeps up with its producers.
-- Locks: none.
-- Index: _due, in its order.
select id, hashtextextended(partition_key, hashtextextended(topic, 0)) & 63, seq, topic, partition_key, event_type, payload
from outbox_events
where status = 'pending' and not held and (scheduled_at - created_at) <= interval '1 second'
order by (hashtextextended(partition_key, hashtextextended(topic, 0)) & 63), seq
limit @batch
