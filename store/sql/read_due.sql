-- The next due events of some slots, those of each slot behind its cursors, in
-- order of seq. What must wait comes without its content, so that the reader can
-- pass over it: state 0 is to be taken, 1 waits, 2 is blocked by a hold, 3 is
-- scheduled and due, but has elders that this read did not reach. A scheduled row
-- that is cut off comes too, since the order by seq is not that of its cursor.
-- full and cut are sets of slots, a bit each: those with a full read, and those
-- of which something was cut off.
-- Locks: none. Never part of a statement that leases: its snapshot would be
-- older than the lease.
-- Index: _due and _scheduled; primary key of omnibox.holds.
with gate as materialized (
	select exists (select from omnibox.pipelines where name = @pipeline and paused_at is not null) as paused
), wanted as (
	select w.*
	from unnest(@slots::bigint[], @after::bigint[], @after_at::timestamptz[], @after_at_seq::bigint[])
		w (slot, after, after_at, after_at_seq)
	where not (select paused from gate)
), immediate as materialized (
	select w.slot, i.*
	from wanted w
	cross join lateral (
		select t.* from {{table}} t
		where (hashtextextended(t.partition_key, hashtextextended(t.topic, 0)) & 63) = w.slot
			and t.status = 'pending' and not t.held
			and (t.scheduled_at - t.created_at) <= interval '1 second'
			and t.seq > w.after
			and (@topics::text[] is null or t.topic = any (@topics::text[]))
			and (@types::text[] is null or t.event_type = any (@types::text[]))
			and (@aggregate_types::text[] is null or t.aggregate_type = any (@aggregate_types::text[]))
		order by t.seq
		limit @per_slot
	) i
), unnumbered as materialized ( -- rows of an adopted table that somebody else has put back
	select w.slot, u.*
	from wanted w
	cross join lateral (
		select t.* from {{table}} t
		where (hashtextextended(t.partition_key, hashtextextended(t.topic, 0)) & 63) = w.slot
			and t.status = 'pending' and not t.held
			and (t.scheduled_at - t.created_at) <= interval '1 second'
			and t.seq is null
		limit @per_slot
	) u
	where @unnumbered::boolean
), scheduled as materialized (
	select w.slot, s.*
	from wanted w
	cross join lateral (
		select t.* from {{table}} t
		where (hashtextextended(t.partition_key, hashtextextended(t.topic, 0)) & 63) = w.slot
			and t.status = 'pending' and not t.held
			and (t.scheduled_at - t.created_at) > interval '1 second'
			and t.scheduled_at <= now()
			and (t.scheduled_at, t.seq) > (w.after_at, w.after_at_seq)
			and (@topics::text[] is null or t.topic = any (@topics::text[]))
			and (@types::text[] is null or t.event_type = any (@types::text[]))
			and (@aggregate_types::text[] is null or t.aggregate_type = any (@aggregate_types::text[]))
		order by t.scheduled_at, t.seq
		limit @per_slot
	) s
), edges as ( -- how far the read of a slot with more behind it reached
	select slot, max(seq) as seq from immediate group by slot having count(*) = @per_slot
), found as (
	select *, false as is_scheduled from immediate
	union all
	select *, false from unnumbered
	union all
	select *, true from scheduled
), judged as (
	select f.*, coalesce(h.own, false) as holds_key,
		case
			when h.blocked then 2
			when f.scheduled_at > now() or f.lease_until > now() then 1
			when f.locked_at > now() - interval '300 seconds' and f.lease_until is null then 1
			when @ordered::boolean and f.is_scheduled and f.attempts_made = 0 and not coalesce(h.own, false) and f.seq > e.seq then 3
			else 0
		end as state
	from found f
	left join edges e on e.slot = f.slot
	left join lateral (
		select bool_or(h.event_id is distinct from f.id) as blocked, bool_or(h.event_id = f.id) as own
		from omnibox.holds h
		where h.table_name = @table and h.topic = f.topic and h.partition_key = f.partition_key
	) h on true
), ranked as (
	select j.*,
		count(*) filter (where state = 0) over ahead as place,
		sum(case when state = 0 then pg_column_size(payload) + coalesce(octet_length(body), 0) else 0 end) over ahead as bytes
	from judged j
	window ahead as (order by seq, created_at, id rows unbounded preceding)
), placed as (
	select *, place > @n or (bytes > @max_bytes and place > 1) as is_cut from ranked
), slots_left as (
	select
		(select coalesce(bit_or(1::bigint << slot::integer), 0) from (
			select slot from edges
			union all
			select slot from scheduled group by slot having count(*) = @per_slot
		) f) as full_slots,
		(select coalesce(bit_or(1::bigint << slot::integer), 0) from placed where is_cut) as cut_slots
)
select
	g.paused, l.full_slots, l.cut_slots,
	p.slot, p.state, p.is_cut, p.is_scheduled, p.holds_key, p.lease_until is not null as lapsed,
	p.id, p.created_at, coalesce(p.seq, 9223372036854775807) as seq, p.topic, p.partition_key, p.scheduled_at,
	p.event_type, p.aggregate_type, p.aggregate_id,
	case when p.state = 0 and not p.is_cut then p.payload::text end as payload,
	case when p.state = 0 and not p.is_cut then p.headers::text end as headers,
	case when p.state = 0 and not p.is_cut then p.body end as body,
	coalesce(p.content_type, ''), coalesce(p.schema_version, ''),
	coalesce(p.trace_id, ''), coalesce(p.correlation_id, ''), coalesce(p.causation_id, ''),
	coalesce(p.idempotency_key, ''),
	p.max_attempts, p.attempts_made, p.fetches, p.replays
from gate g
cross join slots_left l
left join placed p on not p.is_cut or p.is_scheduled
order by p.seq, p.created_at, p.id
