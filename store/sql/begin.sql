-- Begins a delivery of an event by its workflow: counts it, makes the lease last
-- its full length from now, and reads the row. Returns no row when the lease is
-- another's, has run out, or the event is final. Says whether the pipeline or the
-- key is paused: then it is to be let go.
-- Locks: the row.
-- Index: primary key; primary key of omnibox.holds.
update {{table}} t
set fetches = t.fetches + 1, locked_at = now(),
	lease_until = clock_timestamp() + @lease::bigint * interval '1 microsecond'
where t.id = @id::uuid and t.created_at = @created_at::timestamptz and t.status = 'pending'
	and t.lease_token = @token::bigint and t.locked_by = @owner and t.lease_until > clock_timestamp()
returning exists (select from omnibox.pipelines where name = @pipeline and paused_at is not null)
	or exists (
		select from omnibox.holds h
		where h.table_name = @table and h.topic = t.topic and h.partition_key = t.partition_key and h.reason = 'paused'
	) as paused, 0::bigint as reached, 0::bigint as full_slots, 0::bigint as cut_slots,
	(hashtextextended(t.partition_key, hashtextextended(t.topic, 0)) & 63) as slot,
	case when exists (
		select from omnibox.holds h
		where h.table_name = @table and h.topic = t.topic and h.partition_key = t.partition_key and h.event_id = t.id
	) then 16 else 0 end as flags,
	t.id, t.created_at, t.seq, t.topic, t.partition_key, t.scheduled_at, t.event_type, t.aggregate_type, t.aggregate_id,
	t.payload::text as payload, t.headers::text as headers, t.body,
	t.content_type, t.schema_version, t.trace_id, t.correlation_id, t.causation_id, t.idempotency_key,
	t.max_attempts, t.attempts_made, t.fetches, t.replays{{origin}}
