-- Writes due events of payloads that have the same length as text.
-- Locks: the new rows.
-- Index: none.
insert into outbox_events (id, topic, partition_key, aggregate_type, aggregate_id, event_type, payload, created_at, scheduled_at)
select gen_random_uuid(), @topic, 'key-' || n % @keys::int, 'order', gen_random_uuid(), 'order.placed',
	jsonb_build_object('pad', repeat('x', @payload_bytes::int - length(format('{"n": %s, "pad": ""}', n))), 'n', n), now(), now()
from generate_series(1, @events::int) n
