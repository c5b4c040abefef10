-- Writes due messages of payloads that have the same length as text, each key in
-- one partition.
-- Locks: the new rows.
-- Index: none.
insert into inbox_events (id, message_id, consumer_group, source, topic, partition_key, partition, "offset", event_type, payload,
	created_at, scheduled_at)
select gen_random_uuid(), gen_random_uuid()::text, @group, @source, @topic, 'key-' || n % @keys::int, n % @keys::int % @partitions::int, n,
	'order.placed',
	jsonb_build_object('pad', repeat('x', @payload_bytes::int - length(format('{"n": %s, "pad": ""}', n))), 'n', n), now(), now()
from generate_series(1, @messages::int) n
order by n
