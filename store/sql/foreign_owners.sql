-- Relays that are not ours and have rows in their hands. omni-box locks rows
-- without a lease of ours.
-- Locks: none.
-- Index: _due and _scheduled, a sample of each slot's oldest rows.
with sample as (
	select s.locked_by, s.locked_at, s.lease_until
	from generate_series(0::bigint, 63) w (slot)
	cross join lateral (
		(select t.locked_by, t.locked_at, t.lease_until from {{table}} t
		where (hashtextextended(t.partition_key, hashtextextended(t.topic, 0)) & 63) = w.slot
			and t.status = 'pending' and not t.held
			and (t.scheduled_at - t.created_at) <= interval '1 second'
		order by t.seq
		limit 20)
		union all
		(select t.locked_by, t.locked_at, t.lease_until from {{table}} t
		where (hashtextextended(t.partition_key, hashtextextended(t.topic, 0)) & 63) = w.slot
			and t.status = 'pending' and not t.held
			and (t.scheduled_at - t.created_at) > interval '1 second'
		order by t.scheduled_at, t.seq
		limit 20)
	) s
)
select distinct locked_by from sample
where locked_at > now() - interval '300 seconds' and lease_until is null
order by locked_by
limit 10
