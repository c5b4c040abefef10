-- The row of an event; its payload only when asked for. Takes no lock. Index:
-- the table's primary key.
select id, created_at, topic, partition_key, event_type, coalesce(aggregate_type, '') as aggregate_type,
	coalesce(aggregate_id, '00000000-0000-0000-0000-000000000000') as aggregate_id, status, attempts_made,
	max_attempts, replays, coalesce(seq, 0) as seq, held, scheduled_at, completed_at,
	coalesce(last_error, '') as last_error, coalesce(error_class, '') as error_class,
	coalesce(locked_by, '') as locked_by,
	case when lease_until > now() and isfinite(lease_until) then lease_until end as lease_until,
	coalesce(trace_id, '') as trace_id,
	coalesce(correlation_id, '') as correlation_id, coalesce(causation_id, '') as causation_id,
	coalesce(idempotency_key, '') as idempotency_key, coalesce(schema_version, '') as schema_version,
	nullif(headers, 'null') as headers, coalesce(content_type, '') as content_type,
	coalesce(octet_length(body), case when content_type is null then octet_length(payload::text) end, 0) as payload_bytes,
	case when @payload and content_type is null then payload::text end as payload,
	case when @payload then body end as body{{shown}}
from {{table}}
where id = @event
order by created_at desc
limit 1
