-- Ends the holds of events, and returns them. Those with so much behind them that
-- setting it free would take long stay until that is done; all that are not kept
-- have at most @most rows behind them together.
-- Locks: all holds of the keys, for update, in order: waits for a fetch that is
-- marking rows, and for whoever ends another hold of a key: see lock_holds.sql.
-- Index: primary key of omnibox.holds; _held.
with locked as materialized (
	select h.topic, h.partition_key, h.reason, h.event_id = o.id as ends
	from unnest(@ids::uuid[], @topics::text[], @keys::text[]) o (id, topic, partition_key)
	join omnibox.holds h on h.table_name = @table and h.topic = o.topic and h.partition_key = o.partition_key
	order by h.topic, h.partition_key, h.reason
	for update of h
), ending as (
	select topic, partition_key, reason
	from locked
	where ends
), behind as (
	select e.*, (
		select count(*)
		from (
			select from {{table}} t
			where t.held and t.topic = e.topic and t.partition_key = e.partition_key
			limit @most::bigint + 1
		) capped
	) as n
	from ending e
), judged as materialized (
	select topic, partition_key, reason,
		sum(n) over (order by n, topic, partition_key, reason) > @most::bigint as kept
	from behind
), dropped as (
	delete from omnibox.holds h
	using judged j
	where not j.kept and h.table_name = @table
		and h.topic = j.topic and h.partition_key = j.partition_key and h.reason = j.reason
)
select topic, partition_key, reason, kept from judged
