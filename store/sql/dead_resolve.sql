-- What a person's event ids and dead letter numbers refer to: the last letter,
-- and the row. Takes no lock. Index: primary keys; letters of events are found
-- by one pass over dead_letters, whatever the number of ids.
with asked as materialized (
	select n, event_id, letter
	from unnest(@events::uuid[], @letters::bigint[]) with ordinality as u (event_id, letter, n)
), letters as materialized (
	select distinct on (d.event_id) d.*
	from omnibox.dead_letters d
	where d.table_name = @table and d.event_id = any (@events::uuid[])
	order by d.event_id, d.id desc
), numbered as materialized (
	select d.*
	from omnibox.dead_letters d
	where d.table_name = @table and d.id = any (@letters::bigint[])
), found as (
	select asked.n, asked.event_id as asked_for, d.*
	from asked join letters d on d.event_id = asked.event_id
	union all
	select asked.n, asked.event_id, d.*
	from asked join numbered d on d.id = asked.letter
	union all
	select asked.n, asked.event_id, (null::omnibox.dead_letters).*
	from asked
	where not exists (select from letters d where d.event_id = asked.event_id)
		and not exists (select from numbered d where d.id = asked.letter)
)
select found.n,
	coalesce(found.id, 0) as letter,
	coalesce(found.state, '') as state,
	found.resolved_at,
	coalesce(found.resolved_by, '') as resolved_by,
	coalesce(found.event_id, found.asked_for) as event_id,
	coalesce(found.event_created_at, event.created_at) as created_at,
	coalesce(event.status, '') as status
from found
left join lateral (
	select t.created_at, t.status
	from {{table}} t
	where t.id = coalesce(found.event_id, found.asked_for)
		and (found.id is null or t.created_at = found.event_created_at)
	order by t.created_at desc
	limit 1
) event on true
order by found.n
