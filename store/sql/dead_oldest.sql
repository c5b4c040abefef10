-- References to dead letters, the oldest first: what a replay or discard by
-- filter works through. Takes no lock. Index: dead_letters_recent.
select id as letter, event_id, event_created_at as created_at, last_at
from omnibox.dead_letters
where table_name = @table
	and state = 'open'
	and (@pipeline = '' or pipeline = @pipeline)
	and (@topic = '' or topic = @topic)
	and (@key = '' or partition_key = @key)
	and (@type = '' or event_type = @type)
	and (@class = '' or error_class = @class)
	and (@fingerprint = '' or fingerprint = @fingerprint)
	and last_at >= @since
	and last_at < @until
	and (last_at, id) > (@after_at::timestamptz, @after_id::bigint)
order by last_at, id
limit @limit
