-- Whether @most rows are pending: due now, later, and behind a hold. What is due now
-- cannot be more than there are places from the first to the last of it, so that it
-- is counted, no further than @most, only if these are as many. Takes no lock.
-- Index: _due, _scheduled and _held, their entries alone.
with ends as materialized (
	select max(e.last) - min(e.first) + 1 as places, bool_or(e.blank) as blank
	from generate_series(0, 63) slot
	cross join lateral (
		select
			(select t.seq from {{table}} t
			where (hashtextextended(t.partition_key, hashtextextended(t.topic, 0)) & 63) = slot
				and t.status = 'pending' and not t.held and (t.scheduled_at - t.created_at) <= interval '1 second'
				and t.seq is not null
			order by t.seq limit 1) as first,
			(select t.seq from {{table}} t
			where (hashtextextended(t.partition_key, hashtextextended(t.topic, 0)) & 63) = slot
				and t.status = 'pending' and not t.held and (t.scheduled_at - t.created_at) <= interval '1 second'
				and t.seq is not null
			order by t.seq desc limit 1) as last,
			exists (select from {{table}} t
			where (hashtextextended(t.partition_key, hashtextextended(t.topic, 0)) & 63) = slot
				and t.status = 'pending' and not t.held and (t.scheduled_at - t.created_at) <= interval '1 second'
				and t.seq is null) as blank
	) e
), rest as materialized (
	select count(*) as n
	from (
		(select from {{table}}
		where status = 'pending' and not held and (scheduled_at - created_at) > interval '1 second'
		limit @most::bigint)
		union all
		(select from {{table}}
		where held
		limit @most::bigint)
	) r
)
select case
	when r.n + coalesce(e.places, 0) < @most and not e.blank then false
	else r.n + (
		select count(*)
		from (
			select from {{table}}
			where status = 'pending' and not held and (scheduled_at - created_at) <= interval '1 second'
			limit @most::bigint
		) d
	) >= @most
end
from ends e, rest r
