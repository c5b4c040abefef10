-- What a person's event ids and dead letter numbers refer to: the last letter,
-- and the row. Takes no lock. Index: primary keys, dead_letters_open.
select asked.n,
	coalesce(letter.id, 0) as letter,
	coalesce(letter.state, '') as state,
	letter.resolved_at,
	coalesce(letter.resolved_by, '') as resolved_by,
	coalesce(letter.event_id, asked.event_id) as event_id,
	coalesce(letter.event_created_at, event.created_at) as created_at,
	coalesce(event.status, '') as status
from unnest(@events::uuid[], @letters::bigint[]) with ordinality as asked (event_id, letter, n)
left join lateral (
	select d.*
	from omnibox.dead_letters d
	where d.table_name = @table and (d.id = asked.letter or d.event_id = asked.event_id)
	order by d.id desc
	limit 1
) letter on true
left join lateral (
	select t.created_at, t.status
	from {{table}} t
	where t.id = coalesce(letter.event_id, asked.event_id)
		and (letter.id is null or t.created_at = letter.event_created_at)
	order by t.created_at desc
	limit 1
) event on true
order by asked.n
