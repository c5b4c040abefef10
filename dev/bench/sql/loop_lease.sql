-- Leases the next due rows.
-- Locks: the rows, skipping those that are locked.
-- Index: _due, in its order.
with due as materialized (
	select id
	from outbox_events
	where status = 'pending' and not held and (scheduled_at - created_at) <= interval '1 second' and locked_at is null
	order by (hashtextextended(partition_key, hashtextextended(topic, 0)) & 63), seq
	limit @batch
	for update skip locked
), leased as (
	update outbox_events t
	set locked_at = now(), locked_by = 'loop', updated_at = now()
	from due
	where t.id = due.id
	returning t.*
)
select id, hashtextextended(partition_key, hashtextextended(topic, 0)) & 63, seq, topic, partition_key, event_type, payload
from leased
order by seq
