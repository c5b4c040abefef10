-- Dead letters by what went wrong, the largest group first. Takes no lock.
-- Index: dead_letters_recent.
select fingerprint, error_class, count(*) as letters, count(distinct (topic, partition_key)) as keys,
	min(last_at) as first_at, max(last_at) as last_at,
	(array_agg(error order by last_at desc))[1] as error,
	(array_agg(distinct event_type))[1:3] as types
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
group by fingerprint, error_class
order by letters desc, last_at desc
limit @limit
