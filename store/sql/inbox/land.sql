-- Lands messages: their places in the order of keys, which are those of their
-- offsets, are as ords says. One that the group has already, or that comes twice,
-- is left out. One with an error could not be read: it is dead, and has its letter.
-- Returns how many are new, and how many of those could not be read. Rows are
-- written in the order in which they are given, that of their message ids, which is
-- one for all who land, so that none waits for one that waits for it. What no
-- message has comes as no array, and is null; what is the same for all comes once.
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
	from (select * from unnest(@turn_topics::text[], @turn_partitions::integer[]) p (topic, partition) order by topic, partition) p
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
		i.id, i.message_id, @group, coalesce(i.source, @source), coalesce(i.topic, @topic), i.partition_key, i.raw_key, i.partition, i."offset", i.occurred_at,
		i.event_type, i.payload::jsonb, i.body, nullif(i.content_type, ''), nullif(i.headers, '')::jsonb, nullif(i.raw_headers, '')::jsonb,
		nullif(i.schema_version, ''), nullif(i.trace_id, ''), nullif(i.correlation_id, ''), nullif(i.causation_id, ''),
		case when i.error <> '' then 'failed' else 'pending' end, case when i.error <> '' then coalesce(i.max_attempts, @most) else 0 end, coalesce(i.max_attempts, @most),
		nullif(i.error, ''), case when i.error <> '' then 'permanent' end, (select seqs from places)[i.ord], c.now, c.now, c.now
	from unnest(
		@ids::uuid[], @message_ids::text[], @keys::text[], @raw_keys::bytea[], @partitions::integer[], @offsets::bigint[],
		@occurred_ats::timestamptz[], @types::text[], @payloads::text[], @bodies::bytea[],
		@content_types::text[], @headers::text[], @raw_headers::text[], @schema_versions::text[],
		@trace_ids::text[], @correlation_ids::text[], @causation_ids::text[], @errors::text[], @ords::integer[],
		@sources::text[], @topics::text[], @max_attempts::integer[]
	) as i (
		id, message_id, partition_key, raw_key, partition, "offset",
		occurred_at, event_type, payload, body, content_type, headers, raw_headers,
		schema_version, trace_id, correlation_id, causation_id, error, ord, source, topic, max_attempts
	)
	cross join lateral (select (select now from clock) + i.ord * interval '1 microsecond' as now) c
	on conflict (message_id, consumer_group) do nothing
	returning t.id, t.created_at
), letters as (
	insert into omnibox.dead_letters
		(table_name, pipeline, event_id, event_created_at, topic, partition_key, event_type, error, error_class,
			fingerprint, attempts, first_at)
	select @table, @pipeline, l.id, l.created_at, d.topic, d.partition_key, d.event_type, d.error, 'permanent', d.fingerprint, 1, l.created_at
	from unnest(
		@dead_ids::uuid[], @dead_topics::text[], @dead_keys::text[], @dead_types::text[], @dead_errors::text[], @fingerprints::text[]
	) d (id, topic, partition_key, event_type, error, fingerprint)
	join landed l on l.id = d.id
	returning event_id
)
select (select count(*) from landed), (select count(*) from letters)
