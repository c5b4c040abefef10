-- Inserts messages that are not there yet.
-- Locks: the new rows.
-- Index: the unique one on message_id and consumer_group.
insert into inbox_events (id, message_id, consumer_group, source, topic, partition_key, partition, "offset", occurred_at, event_type, payload)
select m.id, m.message_id, @group, @source, @topic, m.key, m.partition, m."offset", m.occurred_at, m.type, m.payload::jsonb
from unnest(@ids::uuid[], @message_ids::text[], @types::text[], @keys::text[], @payloads::text[], @partitions::int[], @offsets::bigint[], @times::timestamptz[])
	m (id, message_id, type, key, payload, partition, "offset", occurred_at)
on conflict (message_id, consumer_group) do nothing
