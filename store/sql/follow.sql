-- Buries what waits behind dead events with them. Behind one that was put back
-- nothing has waited: it is dead alone.
-- Locks: the rows.
-- Index: _held; _due and _scheduled, of the key's slot; dead_letters_open.
with gone as materialized (
	select t.id, t.topic, t.partition_key, t.seq
	from unnest(@ids::uuid[], @created_ats::timestamptz[]) o (id, created_at)
	join {{table}} t on t.id = o.id and t.created_at = o.created_at
	where t.status = 'failed' and t.replays = 0
), behind as materialized (
	select distinct on (b.id) b.id, b.created_at, g.id as leader
	from gone g
	cross join lateral (
		select t.id, t.created_at from {{table}} t
		where t.held and t.topic = g.topic and t.partition_key = g.partition_key and t.seq > g.seq
			and t.status = 'pending'{{mine}}
		union all
		select t.id, t.created_at from {{table}} t
		where (hashtextextended(t.partition_key, hashtextextended(t.topic, 0)) & 63)
				= (hashtextextended(g.partition_key, hashtextextended(g.topic, 0)) & 63)
			and t.status = 'pending' and not t.held
			and (t.scheduled_at - t.created_at) <= interval '1 second'
			and t.topic = g.topic and t.partition_key = g.partition_key and t.seq > g.seq{{mine}}
	) b
), buried as (
	update {{table}} t
	set status = 'failed', attempts_made = t.max_attempts, last_error = 'follows event ' || b.leader || ', which is dead',
		error_class = 'followed', fetches = 0, held = false,
		lease_until = null, locked_at = null, locked_by = null, updated_at = now()
	from behind b
	where t.id = b.id and t.created_at = b.created_at and t.status = 'pending'
	returning t.id, t.created_at, t.topic, t.partition_key, t.event_type, t.last_error
)
insert into omnibox.dead_letters
	(table_name, pipeline, event_id, event_created_at, topic, partition_key, event_type, error, error_class,
		fingerprint, attempts, first_at)
select @table, @pipeline, id, created_at, topic, partition_key, event_type, last_error, 'followed', 'followed', 0, created_at
from buried
on conflict (table_name, event_id, event_created_at) where state = 'open'
do update set error = excluded.error, error_class = excluded.error_class, fingerprint = excluded.fingerprint,
	attempts = excluded.attempts, last_at = clock_timestamp()
