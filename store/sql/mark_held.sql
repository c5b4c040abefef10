-- Takes rows out of the fetch whose key is held by something else. A hold that is
-- over marks nothing any more: see over_holds.sql.
-- Locks: the holds, for share, so that a release that runs at the same time
-- waits and then finds the rows, or has gone before and leaves nothing to mark;
-- then the rows, for update, in order.
-- Index: primary key of omnibox.holds; primary key of the table.
with reasons as materialized (
	select h.topic, h.partition_key, h.event_id, h.event_created_at
	from omnibox.holds h
	where h.table_name = @table
		and (h.topic, h.partition_key) in (select * from unnest(@topics::text[], @keys::text[]))
	order by h.topic, h.partition_key, h.reason
	for share
), live as materialized (
	select r.topic, r.partition_key, r.event_id
	from reasons r
	where r.event_id is null or (
		select e.status from {{table}} e where e.id = r.event_id and e.created_at = r.event_created_at
	) = 'pending'
), blocked as materialized (
	select t.id, t.created_at
	from unnest(@ids::uuid[], @created_ats::timestamptz[]) r (id, created_at)
	join {{table}} t on t.id = r.id and t.created_at = r.created_at
	where t.status = 'pending' and not t.held
		and exists (
			select from live h
			where h.topic = t.topic and h.partition_key = t.partition_key and h.event_id is distinct from t.id
		)
	order by t.id
	for update of t
)
update {{table}} t
set held = true
from blocked b
where t.id = b.id and t.created_at = b.created_at
