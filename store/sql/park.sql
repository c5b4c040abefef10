-- Gives dead events a workflow that waits for a person, as many as fit beside
-- those that have one.
-- Locks: the dead letters; the pipeline's row is locked already.
-- Index: dead_letters_open; dead_letters_parked.
with parked as (
	select count(*) as n
	from (
		select from omnibox.dead_letters
		where table_name = @table and pipeline = @pipeline and state = 'open' and parked_until > now()
			and event_id <> all (@ids::uuid[])
		limit @most
	) capped
), wanted as (
	select o.id, o.created_at
	from unnest(@ids::uuid[], @created_ats::timestamptz[]) with ordinality o (id, created_at, n)
	where o.n <= @most - (select n from parked)
)
update omnibox.dead_letters d
set parked_until = now() + @park_for::bigint * interval '1 microsecond'
from wanted w
where d.table_name = @table and d.event_id = w.id and d.event_created_at = w.created_at and d.state = 'open'
returning d.event_id
