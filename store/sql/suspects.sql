-- Whether something in the slots may have ended its worker: a slot whose owner
-- did not finish, or a row whose own lease has run out.
-- Locks: none.
-- Index: primary key of omnibox.slots; _leased.
select exists (
		select from omnibox.slots s
		where s.table_name = @table and s.slot = any (@slots::smallint[]) and s.dirty and s.lease_until < clock_timestamp()
	) or exists (
		select from {{table}} t
		where t.status = 'pending' and not t.held and t.lease_until is not null and t.lease_until <= now() and t.scheduled_at <= now()
			and t.locked_by is distinct from 'backoff'
			and (hashtextextended(t.partition_key, hashtextextended(t.topic, 0)) & 63) = any (@slots::smallint[]::bigint[])
			and (@topics::text[] is null or t.topic = any (@topics::text[]))
			and (@types::text[] is null or t.event_type = any (@types::text[]))
			and (@aggregate_types::text[] is null or t.aggregate_type = any (@aggregate_types::text[])){{mine}}
	)
