-- Groups that are not ours and have pending messages in the table.
-- Locks: none.
-- Index: _due and _scheduled, a sample of each slot's oldest rows.
with sample as (
	select s.consumer_group
	from generate_series(0::bigint, 63) w (slot)
	cross join lateral (
		(select t.consumer_group from {{table}} t
		where (hashtextextended(t.partition_key, hashtextextended(t.topic, 0)) & 63) = w.slot
			and t.status = 'pending' and not t.held
			and (t.scheduled_at - t.created_at) <= interval '1 second'
		order by t.seq
		limit 20)
		union all
		(select t.consumer_group from {{table}} t
		where (hashtextextended(t.partition_key, hashtextextended(t.topic, 0)) & 63) = w.slot
			and t.status = 'pending' and not t.held
			and (t.scheduled_at - t.created_at) > interval '1 second'
		order by t.scheduled_at, t.seq
		limit 20)
	) s
)
select distinct consumer_group from sample
where consumer_group <> @group
order by consumer_group
limit 10
