-- Puts failed events back for a later attempt. The limits are omni-box's: due at
-- most a year after and a minute before its creation, attempts below the maximum.
-- Locks: the rows.
-- Index: primary key.
update {{table}} t
set attempts_made = case when o.counted then o.attempts else t.attempts_made end,
	max_attempts = greatest(t.max_attempts, case when o.counted then o.attempts else t.attempts_made end + 1),
	last_error = o.error, error_class = o.class,
	scheduled_at = greatest(t.created_at - interval '60 seconds',
		least(t.created_at + interval '365 days', now() + o.delay * interval '1 microsecond')),
	fetches = 0, lease_until = null, locked_at = null, locked_by = null, updated_at = now()
from unnest(@ids::uuid[], @created_ats::timestamptz[], @errors::text[], @classes::text[],
		@counted::boolean[], @attempts::integer[], @delays::bigint[])
	o (id, created_at, error, class, counted, attempts, delay)
where t.id = o.id and t.created_at = o.created_at and t.status = 'pending'
