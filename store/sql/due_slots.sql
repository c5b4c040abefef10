-- Which of the slots have something due; none while the pipeline is paused.
-- Locks: none.
-- Index: _due and _scheduled, a probe of each a slot.
select w.slot
from unnest(@slots::bigint[]) w (slot)
where not exists (select from omnibox.pipelines where name = @pipeline and paused_at is not null)
	and (exists (
		select from {{table}} t
		where (hashtextextended(t.partition_key, hashtextextended(t.topic, 0)) & 63) = w.slot
			and t.status = 'pending' and not t.held
			and (t.scheduled_at - t.created_at) <= interval '1 second'
			and t.scheduled_at <= now() and (t.lease_until is null or t.lease_until <= now())
			and (@topics::text[] is null or t.topic = any (@topics::text[]))
			and (@types::text[] is null or t.event_type = any (@types::text[]))
			and (@aggregate_types::text[] is null or t.aggregate_type = any (@aggregate_types::text[])){{mine}}
	) or exists (
		select from {{table}} t
		where (hashtextextended(t.partition_key, hashtextextended(t.topic, 0)) & 63) = w.slot
			and t.status = 'pending' and not t.held
			and (t.scheduled_at - t.created_at) > interval '1 second'
			and t.scheduled_at <= now() and (t.lease_until is null or t.lease_until <= now())
			and (@topics::text[] is null or t.topic = any (@topics::text[]))
			and (@types::text[] is null or t.event_type = any (@types::text[]))
			and (@aggregate_types::text[] is null or t.aggregate_type = any (@aggregate_types::text[])){{mine}}
	))
order by w.slot
