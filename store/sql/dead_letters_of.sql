-- Every dead letter of one event, the latest first. Takes no lock. Index:
-- primary key; dead_letters has few rows beside the table of events.
select id, pipeline, table_name, event_id, event_created_at, topic, partition_key, event_type, error, error_class,
	fingerprint, attempts, first_at, last_at, state, resolved_at, coalesce(resolved_by, '') as resolved_by,
	coalesce(note, '') as note,
	case when state = 'open' and parked_until > now() then parked_until end as parked_until
from omnibox.dead_letters
where table_name = @table
	and event_id = coalesce((select event_id from omnibox.dead_letters where id = @letter), @event)
order by id desc
