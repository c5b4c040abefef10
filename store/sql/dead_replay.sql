-- Puts dead events back. Locks the rows in the order of their ids; one that
-- someone else replays meanwhile is seen to be pending and left alone. With an event
-- its open letter is resolved, also if it was asked for by an older one. Index: the
-- table's primary key, dead_letters' primary key, dead_letters_open.
--
-- The token of a row's lease stays: it only ever rises, so that a fence of before
-- the replay is not good again.
--
-- omni-box refuses a row that is scheduled more than 365 days after it was
-- created, hence the least().
with dead as materialized (
	select t.id, t.created_at, asked.letter
	from unnest(@events::uuid[], @created::timestamptz[], @letters::bigint[]) as asked (id, created_at, letter)
	join {{table}} t on t.id = asked.id and t.created_at = asked.created_at
	where t.status = 'failed'
	order by t.id
	for update of t
), replayed as (
	update {{table}} t
	set status = 'pending',
		attempts_made = 0,
		last_error = null,
		error_class = null,
		fetches = 0,
		held = false,
		locked_at = null,
		locked_by = null,
		lease_until = null,
		completed_at = null,
		replays = t.replays + 1,
		scheduled_at = least(now(), t.created_at + interval '365 days'),
		seq = coalesce(t.seq, nextval(pg_get_serial_sequence(@quoted, 'seq'))),
		updated_at = now()
	from dead d
	where t.id = d.id and t.created_at = d.created_at
	returning t.id, t.created_at, d.letter
), resolved as (
	update omnibox.dead_letters l
	set state = 'replayed', resolved_at = clock_timestamp(), resolved_by = @by
	where l.state <> 'replayed' and l.id in (
		select letter from replayed
		union
		select o.id
		from replayed r
		join omnibox.dead_letters o on o.event_id = r.id and o.event_created_at = r.created_at
		where o.table_name = @table and o.state = 'open'
	)
)
select id as event_id, created_at, letter from replayed
