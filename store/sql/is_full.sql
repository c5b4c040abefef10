-- Whether @most rows are pending: due now, later, and behind a hold. What is due now
-- cannot be more than there are places from the first to the last of it, so that it
-- is counted, no further than @most, only if these are as many: no two rows have one
-- place. Takes no lock.
-- Index: _due, _scheduled and _held.
with ends as materialized (
	select coalesce(max(last.seq) - min(first.seq) + 1, 0) as places, bool_or(blank.is) as blank
	from generate_series(0, 63) slot
	cross join lateral (
		select exists (
			select from {{table}} t
			where (hashtextextended(t.partition_key, hashtextextended(t.topic, 0)) & 63) = slot
				and t.status = 'pending' and not t.held and (t.scheduled_at - t.created_at) <= interval '1 second'
				and t.seq is null
		) as is
	) blank
	left join lateral (
		select t.seq
		from {{table}} t
		where (hashtextextended(t.partition_key, hashtextextended(t.topic, 0)) & 63) = slot
			and t.status = 'pending' and not t.held and (t.scheduled_at - t.created_at) <= interval '1 second'
			and t.seq is not null
		order by t.seq
		limit 1
	) first on true
	left join lateral (
		select t.seq
		from {{table}} t
		where first.seq is not null
			and (hashtextextended(t.partition_key, hashtextextended(t.topic, 0)) & 63) = slot
			and t.status = 'pending' and not t.held and (t.scheduled_at - t.created_at) <= interval '1 second'
			and t.seq is not null
		order by t.seq desc
		limit 1
	) last on true
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
		limit @most::bigint
	) r
)
select case
	when r.n >= @most then true
	when r.n + e.places < @most and not e.blank then false
	else r.n + (
		select count(*)
		from (
			select from {{table}}
			where status = 'pending' and not held and (scheduled_at - created_at) <= interval '1 second'
			limit @most::bigint - (select n from rest)
		) d
	) >= @most
end
from ends e, rest r
