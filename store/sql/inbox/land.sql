-- Lands messages: their places in the order of keys, which are those of their
-- offsets, are as ords says. One that the group has already, or that comes twice,
-- is left out. One with an error could not be read: it is dead, and has its letter.
-- Returns how many are new, and how many of those could not be read. Rows are
-- written in the order in which they are given, that of their message ids, which is
-- one for all who land, so that none waits for one that waits for it. What no
-- message has comes as no array, and is null.
-- Two consumers may have one partition for a moment, when it changes hands:
--
--  1. the old one takes places for messages 1 to 9, and waits for another row
--  2. the new one lands 1 to 5, with later places
--  3. the old one goes on: 1 to 5 are there, and 6 to 9 are before them
--
-- So they take turns.
-- Locks: an advisory one for each partition, in order; the new rows; waits for a
-- transaction that lands one of the messages.
-- Index: the unique one on message_id and consumer_group.
with clock as materialized (
	select clock_timestamp() as now, pg_get_serial_sequence(@quoted, 'seq')::regclass as numbers
), turns as materialized ( -- those who land the same partition take turns, and then their places
	select pg_advisory_xact_lock(hashtextextended(@table || ' ' || @group || ' ' || p.topic, p.partition))
	from (select distinct * from unnest(@topics::text[], @partitions::integer[]) p (topic, partition) order by topic, partition) p
), places as materialized (
	select array_agg(n) as seqs
	from (
		select nextval((select numbers from clock)) as n
		from (select count(*) from turns) t, generate_series(1, cardinality(@ords::integer[]))
	) s
), landed as (
	insert into {{table}} as t (
		id, message_id, consumer_group, source, topic, partition_key, raw_key, partition, "offset", occurred_at,
		event_type, payload, body, content_type, headers, raw_headers, schema_version, trace_id, correlation_id, causation_id,
		status, attempts_made, max_attempts, last_error, error_class, seq, created_at, updated_at, scheduled_at
	)
	select
		i.id, i.message_id, @group, i.source, i.topic, i.partition_key, i.raw_key, i.partition, i."offset", i.occurred_at,
		i.event_type, i.payload::jsonb, i.body, nullif(i.content_type, ''), nullif(i.headers, '')::jsonb, nullif(i.raw_headers, '')::jsonb,
		nullif(i.schema_version, ''), nullif(i.trace_id, ''), nullif(i.correlation_id, ''), nullif(i.causation_id, ''),
		case when i.error <> '' then 'failed' else 'pending' end, case when i.error <> '' then i.max_attempts else 0 end, i.max_attempts,
		nullif(i.error, ''), case when i.error <> '' then 'permanent' end, (select seqs from places)[i.ord], c.now, c.now, c.now
	from unnest(
		@ids::uuid[], @message_ids::text[], @sources::text[], @topics::text[],
		@keys::text[], @raw_keys::bytea[], @partitions::integer[], @offsets::bigint[],
		@occurred_ats::timestamptz[], @types::text[], @payloads::text[], @bodies::bytea[],
		@content_types::text[], @headers::text[], @raw_headers::text[], @schema_versions::text[],
		@trace_ids::text[], @correlation_ids::text[], @causation_ids::text[], @max_attempts::integer[],
		@errors::text[], @ords::integer[]
	) as i (
		id, message_id, source, topic, partition_key, raw_key, partition,
		"offset", occurred_at, event_type, payload, body, content_type, headers,
		raw_headers, schema_version, trace_id, correlation_id, causation_id, max_attempts, error, ord
	)
	cross join lateral (select (select now from clock) + i.ord * interval '1 microsecond' as now) c
	on conflict (message_id, consumer_group) do nothing
	returning t.id, t.created_at, t.topic, t.partition_key, t.event_type, t.status, t.last_error
), letters as (
	insert into omnibox.dead_letters
		(table_name, pipeline, event_id, event_created_at, topic, partition_key, event_type, error, error_class,
			fingerprint, attempts, first_at)
	select @table, @pipeline, l.id, l.created_at, l.topic, l.partition_key, l.event_type, l.last_error, 'permanent',
		d.fingerprint, 1, l.created_at
	from unnest(@dead_ids::uuid[], @fingerprints::text[]) d (id, fingerprint)
	join landed l on l.id = d.id
)
select count(*), count(*) filter (where status = 'failed') from landed
