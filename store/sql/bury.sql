-- Gives events up, each with its dead letter. attempts_made becomes the maximum
-- whatever the true number, since omni-box reads no failed row without; the dead
-- letter has the true one.
-- Locks: the rows.
-- Index: primary key; dead_letters_open.
with buried as (
	update {{table}} t
	set status = 'failed', attempts_made = t.max_attempts, last_error = o.error, error_class = o.class,
		fetches = 0, held = false, lease_until = null, locked_at = null, locked_by = null, updated_at = now()
	from unnest(@ids::uuid[], @created_ats::timestamptz[], @errors::text[], @classes::text[],
			@attempts::integer[], @fingerprints::text[])
		o (id, created_at, error, class, attempts, fingerprint)
	where t.id = o.id and t.created_at = o.created_at and t.status = 'pending'
	returning t.id, t.created_at, t.topic, t.partition_key, t.event_type, o.error, o.class, o.fingerprint, o.attempts
)
insert into omnibox.dead_letters
	(table_name, pipeline, event_id, event_created_at, topic, partition_key, event_type, error, error_class,
		fingerprint, attempts, first_at)
select @table, @pipeline, id, created_at, topic, partition_key, event_type, error, class, fingerprint, attempts, created_at
from buried
on conflict (table_name, event_id, event_created_at) where state = 'open' -- put back by somebody else
do update set error = excluded.error, error_class = excluded.error_class, fingerprint = excluded.fingerprint,
	attempts = excluded.attempts, last_at = clock_timestamp()
