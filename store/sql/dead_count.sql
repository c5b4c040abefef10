-- How many dead letters a filter finds, and of how many the row can be
-- replayed. Takes no lock. Index: dead_letters_recent, the table's primary key.
select count(*), count(t.id)
from (
	select event_id, event_created_at
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
	order by last_at, id
	limit @limit
) d
left join {{table}} t on t.id = d.event_id and t.created_at = d.event_created_at and t.status = 'failed'
