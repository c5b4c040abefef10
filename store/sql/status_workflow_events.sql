-- Some failed events that have a workflow: those that are retried next, and those
-- that soonest wait for a person no longer. Takes no lock. Index: the table's
-- leased index, which has the rows in flight alone; dead_letters_parked.
(
	select id as event_id, topic, partition_key, false as parked, coalesce(error_class, '') as error_class,
		attempts_made as attempts, scheduled_at as until
	from {{table}}
	where status = 'pending' and lease_until is not null and lease_until > now()
		and locked_by = @workflow and error_class is not null
	order by scheduled_at, id
	limit @limit
) union all (
	select event_id, topic, partition_key, true, error_class, attempts, parked_until
	from omnibox.dead_letters
	where table_name = @table and pipeline = @pipeline and state = 'open' and parked_until > now()
	order by parked_until, event_id
	limit @limit
)
