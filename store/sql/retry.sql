-- Puts failed events back for a later attempt. The limits are omni-box's: due at
-- most a year after and a minute before its creation, attempts below the maximum.
-- Where the next attempt is beyond that year, as with an old event that was
-- replayed, nobody gets the row until then: it is leased, by its own token, to
-- 'backoff', which is no worker. A lease of that name that has run out tells
-- nothing against the event.
-- Locks: the rows.
-- Index: primary key.
update {{table}} t
set attempts_made = case when o.counted then o.attempts else t.attempts_made end,
	max_attempts = greatest(t.max_attempts, case when o.counted then o.attempts else t.attempts_made end + 1),
	last_error = o.error, error_class = o.class,
	scheduled_at = greatest(t.created_at - interval '60 seconds', least(t.created_at + interval '365 days', o.next)),
	lease_until = case when o.next > t.created_at + interval '365 days' then o.next end,
	locked_at = case when o.next > t.created_at + interval '365 days' then now() end,
	locked_by = case when o.next > t.created_at + interval '365 days' then 'backoff' end,
	fetches = 0, updated_at = now()
from (
	select f.id, f.created_at, f.error, f.class, f.counted, f.attempts, now() + f.delay * interval '1 microsecond' as next
	from unnest(@ids::uuid[], @created_ats::timestamptz[], @errors::text[], @classes::text[],
			@counted::boolean[], @attempts::integer[], @delays::bigint[])
		f (id, created_at, error, class, counted, attempts, delay)
) o
where t.id = o.id and t.created_at = o.created_at and t.status = 'pending'
