-- Leases events to workflows of their own, as many as fit beside those in
-- flight. An event under suspicion is left to the batch lane, which runs it alone.
-- Locks: the rows; the leases under which they were read are locked already.
-- Index: primary key; _leased.
with flying as (
	select count(*) as n
	from (
		select from {{table}}
		where status = 'pending' and lease_until is not null and lease_until > now()
			and locked_by = @owner and error_class is null
		limit @most
	) capped
), wanted as (
	select o.id, o.created_at
	from unnest(@ids::uuid[], @created_ats::timestamptz[]) with ordinality o (id, created_at, n)
	where o.n <= @most - (select n from flying)
)
update {{table}} t
set lease_token = coalesce(t.lease_token, 0) + 1, locked_by = @owner, locked_at = now(),
	lease_until = clock_timestamp() + @lease::bigint * interval '1 microsecond'
from wanted w
where t.id = w.id and t.created_at = w.created_at
	and t.status = 'pending' and not t.held and t.fetches = 0
returning t.id, t.lease_token
