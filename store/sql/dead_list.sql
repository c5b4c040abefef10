-- A page of dead letters, the latest first. Takes no lock. Index:
-- dead_letters_recent.
select id, pipeline, table_name, event_id, event_created_at, topic, partition_key, event_type, error, error_class,
	fingerprint, attempts, first_at, last_at, state, resolved_at, coalesce(resolved_by, '') as resolved_by,
	coalesce(note, '') as note,
	case when state = 'open' and parked_until > now() then parked_until end as parked_until
from omnibox.dead_letters
where table_name = @table
	and (@state = '' or state = @state)
	and (@pipeline = '' or pipeline = @pipeline)
	and (@topic = '' or topic = @topic)
	and (@key = '' or partition_key = @key)
	and (@type = '' or event_type = @type)
	and (@class = '' or error_class = @class)
	and (@fingerprint = '' or fingerprint = @fingerprint)
	and last_at >= @since
	and last_at < @until
	and (last_at, id) < (@after_at::timestamptz, @after_id::bigint)
order by last_at desc, id desc
limit @limit
