-- Brings the next rows of a key whose hold is over back into the fetch, which
-- goes on to leave them out, unmarked, until the hold is gone; returns how many
-- and the last seq.
-- Locks: the rows.
-- Index: _held; primary keys.
with next as materialized (
	select t.id, t.created_at, t.seq
	from {{table}} t
	where t.held and t.topic = @topic and t.partition_key = @key and t.seq > @after::bigint
	order by t.seq
	limit @most::bigint
), cleared as (
	update {{table}} t
	set held = false
	from next n
	where t.id = n.id and t.created_at = n.created_at and t.held
		and not exists (
			select from omnibox.holds h
			where h.table_name = @table and h.topic = @topic and h.partition_key = @key
				and h.reason <> @reason and h.event_id is distinct from t.id
		)
)
select count(*), coalesce(max(seq), @after::bigint) from next
