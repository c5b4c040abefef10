-- Leases rows that were read as due, unless they, or an elder of their key, are
-- in other hands by now. hand lists the rows that this claim holds already.
-- Locks: the rows, for update, skipping those that are locked.
-- Index: primary key; _leased.
with asked as materialized (
	select * from unnest(@ids::uuid[], @created_ats::timestamptz[], @topics::text[], @keys::text[], @seqs::bigint[])
		a (id, created_at, topic, partition_key, seq)
), locked as materialized (
	select t.id, t.created_at, a.topic, a.partition_key, a.seq
	from asked a
	join {{table}} t on t.id = a.id and t.created_at = a.created_at
	where t.status = 'pending' and not t.held
		and (t.lease_until is null or t.lease_until <= now())
		and (t.locked_at is null or t.lease_until is not null or t.locked_at <= now() - interval '300 seconds')
		and not (@ordered::boolean and exists (
			select from {{table}} e
			where e.topic = t.topic and e.partition_key = t.partition_key and e.seq < t.seq
				and e.status = 'pending' and e.lease_until is not null and e.lease_until > now()
				and e.id <> all (@hand::uuid[]){{mine:e}}
				and not (@skip::boolean and e.error_class is not null) -- one that failed is overtaken
		))
	order by a.seq
	for update of t skip locked
), missed as (
	select a.topic, a.partition_key, min(a.seq) as seq
	from asked a
	where @ordered::boolean and not exists (select from locked l where l.id = a.id)
	group by a.topic, a.partition_key
)
update {{table}} t
set lease_token = coalesce(t.lease_token, 0) + 1, locked_by = @owner, locked_at = now(),
	lease_until = clock_timestamp() + @lease::bigint * interval '1 microsecond'
from locked l
where t.id = l.id and t.created_at = l.created_at
	and not exists (
		select from missed m
		where m.topic = l.topic and m.partition_key = l.partition_key and m.seq < l.seq
	)
returning t.id, t.lease_token
