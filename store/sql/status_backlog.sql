-- How many rows are due, up to a cap, and since when the oldest of each kind
-- is. Reads index entries alone, besides retried rows that are due and one row a
-- slot. Takes no lock. Index: the table's due and scheduled indexes, never the
-- whole table.
with slots as materialized (
	select generate_series(0, 63) as slot
), immediate as (
	select count(*) as n
	from (
		select from {{table}}
		where status = 'pending' and not held and (scheduled_at - created_at) <= interval '1 second'
		limit @cap + 1
	) capped
), fallen_due as (
	select count(*) as n
	from (
		select from slots cross join lateral (
			select from {{table}} t
			where (hashtextextended(t.partition_key, hashtextextended(t.topic, 0)) & 63) = slots.slot
				and t.status = 'pending' and not t.held and (t.scheduled_at - t.created_at) > interval '1 second'
				and t.scheduled_at <= now()
			limit @cap + 1
		) due
		limit @cap + 1
	) capped
), scheduled as (
	select count(*) as n
	from (
		select from {{table}}
		where status = 'pending' and not held and (scheduled_at - created_at) > interval '1 second'
		limit @cap + 1
	) capped
), oldest_immediate as (
	select min(first.scheduled_at) as at
	from slots cross join lateral (
		select t.scheduled_at from {{table}} t
		where (hashtextextended(t.partition_key, hashtextextended(t.topic, 0)) & 63) = slots.slot
			and t.status = 'pending' and not t.held and (t.scheduled_at - t.created_at) <= interval '1 second'
		order by t.seq
		limit 1
	) first
), oldest_scheduled as (
	select min(first.scheduled_at) as at
	from slots cross join lateral (
		select t.scheduled_at from {{table}} t
		where (hashtextextended(t.partition_key, hashtextextended(t.topic, 0)) & 63) = slots.slot
			and t.status = 'pending' and not t.held and (t.scheduled_at - t.created_at) > interval '1 second'
			and t.scheduled_at <= now()
		order by t.scheduled_at
		limit 1
	) first
)
select now(),
	immediate.n + fallen_due.n,
	greatest(scheduled.n - fallen_due.n, 0), -- to come
	scheduled.n > @cap,
	least(oldest_immediate.at, oldest_scheduled.at)
from immediate, fallen_due, scheduled, oldest_immediate, oldest_scheduled
