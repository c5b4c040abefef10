-- Writes events, numbered in the order in which they are given, in the caller's
-- transaction. Events whose idempotency key is taken are left out. created_at
-- rises by a microsecond an event, since omni-box orders by it.
-- Arrays are text, so that any driver can send them.
-- Locks: the new rows; waits for a transaction that writes one of the keys.
-- Index: the unique one on idempotency_key.
with clock as materialized (
	select clock_timestamp() as now
), input as materialized (
	select i.*, clock.now + i.ord * interval '1 microsecond' as created_at
	from clock, unnest(
		@ids::text::uuid[], @topics::text::text[], @keys::text::text[], @aggregate_types::text::text[],
		@aggregate_ids::text::uuid[], @types::text::text[], @payloads::text::jsonb[], @headers::text::jsonb[],
		@trace_ids::text::text[], @idempotency_keys::text::text[], @correlation_ids::text::text[],
		@causation_ids::text::text[], @schema_versions::text::text[], @max_attempts::text::int[],
		@scheduled_ats::text::timestamptz[], @bodies::text::bytea[], @content_types::text::text[]
	) with ordinality as i (
		id, topic, partition_key, aggregate_type,
		aggregate_id, event_type, payload, headers,
		trace_id, idempotency_key, correlation_id,
		causation_id, schema_version, max_attempts,
		scheduled_at, body, content_type, ord
	)
)
insert into {{table}} (
	id, topic, partition_key, aggregate_type, aggregate_id, event_type, payload, headers, trace_id,
	idempotency_key, correlation_id, causation_id, schema_version, max_attempts, created_at, updated_at,
	scheduled_at, body, content_type
)
select
	i.id, i.topic, i.partition_key, i.aggregate_type, i.aggregate_id, i.event_type, i.payload, i.headers, i.trace_id,
	i.idempotency_key, i.correlation_id, i.causation_id, i.schema_version, i.max_attempts, i.created_at, i.created_at,
	-- never outside of what omni-box reads back, whatever the producer's clock says
	least(greatest(i.scheduled_at, i.created_at), i.created_at + interval '8760 hours'),
	i.body, i.content_type
from input i
order by i.ord
on conflict (idempotency_key) where idempotency_key is not null do nothing
returning id::text, seq, created_at
