-- Leases failed events to workflows of their own until two minutes after their
-- next attempt, as many as fit beside those that have one. What remains backs
-- off in its row. Under a lease the next attempt is due when that runs out, since
-- retry.sql has just written it. A workflow that settles its own event keeps its token.
-- Locks: the rows; the pipeline's row is locked already.
-- Index: primary key; _leased.
with open as (
	select count(*) as n
	from (
		select from {{table}}
		where status = 'pending' and lease_until is not null and lease_until > now()
			and locked_by = @workflow and error_class is not null
			and id <> all (@ids::uuid[])
		limit @most
	) capped
), wanted as (
	select o.id, o.created_at
	from unnest(@ids::uuid[], @created_ats::timestamptz[]) with ordinality o (id, created_at, n)
	where o.n <= @most - (select n from open)
)
update {{table}} t
set lease_token = coalesce(t.lease_token, 0) + case when @keep::boolean then 0 else 1 end, locked_by = @workflow, locked_at = now(),
	lease_until = greatest(t.scheduled_at, t.lease_until, now()) + interval '2 minutes'
from wanted w
where t.id = w.id and t.created_at = w.created_at and t.status = 'pending'
returning t.id, t.lease_token
