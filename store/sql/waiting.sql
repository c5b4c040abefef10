-- The pending events that come next, and why those of them wait that do: in order
-- of seq, as far as that order is theirs. Takes no lock.
-- Index: _due, _scheduled, and _held: a few entries of each slot.
with slots as materialized (
	select slot from generate_series(0, 63) slot
	where @topic = '' or @key = ''
		or slot = (hashtextextended(@key, hashtextextended(@topic, 0)) & 63)
), found as (
	select i.* from slots cross join lateral (
		select t.* from {{table}} t
		where (hashtextextended(t.partition_key, hashtextextended(t.topic, 0)) & 63) = slots.slot
			and t.status = 'pending' and not t.held and (t.scheduled_at - t.created_at) <= interval '1 second'
			and (@topic = '' or t.topic = @topic) and (@key = '' or t.partition_key = @key) and (@type = '' or t.event_type = @type){{mine}}
		order by t.seq
		limit @most
	) i
	union all
	select s.* from slots cross join lateral (
		select t.* from {{table}} t
		where (hashtextextended(t.partition_key, hashtextextended(t.topic, 0)) & 63) = slots.slot
			and t.status = 'pending' and not t.held and (t.scheduled_at - t.created_at) > interval '1 second'
			and (@topic = '' or t.topic = @topic) and (@key = '' or t.partition_key = @key) and (@type = '' or t.event_type = @type){{mine}}
		order by t.scheduled_at, t.seq
		limit @most
	) s
	union all
	select h.* from (
		select t.* from {{table}} t
		where t.held and t.status = 'pending'
			and (@topic = '' or t.topic = @topic) and (@key = '' or t.partition_key = @key) and (@type = '' or t.event_type = @type){{mine}}
		order by t.topic, t.partition_key, t.seq
		limit @most
	) h
)
select f.id, f.created_at, f.topic, f.partition_key, f.event_type, f.attempts_made, f.max_attempts, f.scheduled_at,
	coalesce(f.seq, 0) as seq, coalesce(f.last_error, '') as last_error, coalesce(f.error_class, '') as error_class,
	case
		when f.lease_until > now() and f.locked_by like 'workflow:%' then 'with its workflow'
		when f.lease_until > now() then 'being handled'
		when f.scheduled_at > now() and f.attempts_made > 0 then 'retried later'
		when f.scheduled_at > now() then 'scheduled'
		when f.held or @ordered::boolean and bool_or(f.lease_until > now()) over elders then 'behind its key'
		else 'due'
	end as state,
	coalesce(f.locked_by, '') as locked_by
from found f
window elders as (
	partition by f.topic, f.partition_key order by f.seq nulls last, f.created_at rows between unbounded preceding and 1 preceding
)
order by f.seq nulls last, f.created_at
limit @most
