-- The next due events of some slots, those of each slot behind its cursors, in
-- order of seq. What must wait comes without its content, so that the reader can
-- pass over it: state 0 is to be taken, 1 waits, 2 is blocked by a hold, 3 is
-- scheduled and due, but has elders that this read did not reach. A scheduled row
-- that is cut off comes too, since the order by seq is not that of its cursor.
-- full and cut are sets of slots, a bit each: those with a full read, and those
-- of which something was cut off. Flags are the state, and bits for cut off (4),
-- scheduled (8), holds its key (16), and a lease of its own that has run out (32).
-- reached is the place that was given last before this began: how far reading may go
-- on from here, see cursor.go.
-- The content is read last, of what is returned, so that the steps before it move
-- narrow rows.
-- Locks: none. Never part of a statement that leases: its snapshot would be
-- older than the lease.
-- Index: _due and _scheduled; primary key of omnibox.holds.
with gate as materialized (
	select
		exists (select from omnibox.pipelines where name = @pipeline and paused_at is not null) as paused,
		exists (select from omnibox.holds where table_name = @table) as holds
), wanted as (
	select w.*
	from unnest(@slots::bigint[], @after::bigint[], @upto::bigint[], @after_at::timestamptz[], @after_at_seq::bigint[])
		w (slot, after, upto, after_at, after_at_seq)
	where not (select paused from gate)
), immediate as materialized (
	select w.slot, i.*
	from wanted w
	cross join lateral (
		select t.ctid as at, t.id, t.created_at, t.seq, t.topic, t.partition_key, t.scheduled_at, t.attempts_made,
			t.scheduled_at > now() or coalesce(t.lease_until > now(), t.locked_at > now() - interval '300 seconds', false) as waits,
			pg_column_size(t.payload) + coalesce(octet_length(t.body), 0) as size
		from {{table}} t
		where (hashtextextended(t.partition_key, hashtextextended(t.topic, 0)) & 63) = w.slot
			and t.status = 'pending' and not t.held
			and (t.scheduled_at - t.created_at) <= interval '1 second'
			and t.seq > w.after and t.seq <= w.upto
			and (@topics::text[] is null or t.topic = any (@topics::text[]))
			and (@types::text[] is null or t.event_type = any (@types::text[]))
			and (@aggregate_types::text[] is null or t.aggregate_type = any (@aggregate_types::text[])){{mine}}
		order by t.seq
		limit @per_slot
	) i
), unnumbered as materialized ( -- rows of an adopted table that somebody else has put back
	select w.slot, u.*
	from wanted w
	cross join lateral (
		select t.ctid as at, t.id, t.created_at, t.seq, t.topic, t.partition_key, t.scheduled_at, t.attempts_made,
			t.scheduled_at > now() or coalesce(t.lease_until > now(), t.locked_at > now() - interval '300 seconds', false) as waits,
			pg_column_size(t.payload) + coalesce(octet_length(t.body), 0) as size
		from {{table}} t
		where (hashtextextended(t.partition_key, hashtextextended(t.topic, 0)) & 63) = w.slot
			and t.status = 'pending' and not t.held
			and (t.scheduled_at - t.created_at) <= interval '1 second'
			and t.seq is null
			and (@topics::text[] is null or t.topic = any (@topics::text[]))
			and (@types::text[] is null or t.event_type = any (@types::text[]))
			and (@aggregate_types::text[] is null or t.aggregate_type = any (@aggregate_types::text[])){{mine}}
		limit @per_slot
	) u
	where @unnumbered::boolean
), scheduled as materialized (
	select w.slot, s.*
	from wanted w
	cross join lateral (
		select t.ctid as at, t.id, t.created_at, t.seq, t.topic, t.partition_key, t.scheduled_at, t.attempts_made,
			t.scheduled_at > now() or coalesce(t.lease_until > now(), t.locked_at > now() - interval '300 seconds', false) as waits,
			pg_column_size(t.payload) + coalesce(octet_length(t.body), 0) as size
		from {{table}} t
		where (hashtextextended(t.partition_key, hashtextextended(t.topic, 0)) & 63) = w.slot
			and t.status = 'pending' and not t.held
			and (t.scheduled_at - t.created_at) > interval '1 second'
			and t.scheduled_at <= now()
			and (t.scheduled_at, t.seq) > (w.after_at, w.after_at_seq)
			and (t.seq <= w.upto or t.seq is null)
			and (@topics::text[] is null or t.topic = any (@topics::text[]))
			and (@types::text[] is null or t.event_type = any (@types::text[]))
			and (@aggregate_types::text[] is null or t.aggregate_type = any (@aggregate_types::text[])){{mine}}
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
), kept as ( -- hold: 2 when something else holds the key, 1 when the row does
	select f.*,
		case when (select holds from gate) then coalesce((
			select max(case when h.event_id = f.id then 1 else 2 end)
			from omnibox.holds h
			where h.table_name = @table and h.topic = f.topic and h.partition_key = f.partition_key
		), 0) else 0 end as hold
	from found f
), judged as (
	select k.*, k.hold = 1 as holds_key,
		case
			when k.hold = 2 then 2
			when k.waits then 1
			when @ordered::boolean and k.is_scheduled and k.attempts_made = 0 and k.hold = 0
				and k.seq > (select e.seq from edges e where e.slot = k.slot) then 3
			else 0
		end as state
	from (select * from kept offset 0) k
), ranked as (
	select slot, at, created_at, id, seq, is_scheduled, holds_key, state,
		count(*) filter (where state = 0) over ahead as place,
		sum(size) filter (where state = 0) over ahead as bytes
	from judged
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
	g.paused, coalesce(nullif(current_setting('omnibox.reached', true), ''), '0')::bigint as reached, l.full_slots, l.cut_slots, p.slot,
	p.state + p.is_cut::integer * 4 + p.is_scheduled::integer * 8 + p.holds_key::integer * 16
		+ (t.lease_until is not null and t.locked_by is distinct from 'backoff')::integer * 32 as flags,
	t.id, t.created_at, t.seq, t.topic, t.partition_key, t.scheduled_at, t.event_type, t.aggregate_type, t.aggregate_id,
	case when p.state = 0 and not p.is_cut then t.payload::text end as payload,
	case when p.state = 0 and not p.is_cut then t.headers::text end as headers,
	case when p.state = 0 and not p.is_cut then t.body end as body,
	t.content_type, t.schema_version, t.trace_id, t.correlation_id, t.causation_id, t.idempotency_key,
	t.max_attempts, t.attempts_made, t.fetches, t.replays{{origin}}
from gate g
cross join slots_left l
left join (placed p join {{table}} t on {{row}}) on not p.is_cut or p.is_scheduled
order by p.seq, p.created_at, p.id
