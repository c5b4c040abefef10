-- Writes completed messages, and after them as many pending ones: of 100 there are
-- 70 immediate, 15 scheduled for the next month, 5 scheduled and due, and 10 whose
-- key is held.
-- Locks: the new rows.
-- Index: none.
insert into inbox_events (id, message_id, consumer_group, source, topic, partition_key, event_type, payload, status, completed_at,
	created_at, scheduled_at, held)
select gen_random_uuid(), 'message-' || n, @topic, 'shop', @topic, case when kind = 'held' then 'held-' || n % 100 else 'key-' || n % 1000 end,
	'order.placed',
	jsonb_build_object('pad', repeat('x', 230), 'n', n),
	case when kind = 'completed' then 'completed' else 'pending' end,
	case when kind = 'completed' then now() - interval '1 hour' end,
	now() - interval '2 hours',
	case kind when 'scheduled' then now() + n % 30 * interval '1 day' + interval '1 hour'
		when 'due' then now() - n % 60 * interval '1 minute' - interval '1 second' else now() - interval '2 hours' end,
	kind = 'held'
from (
	select n, case when n <= @events::int then 'completed' when n % 100 < 70 then 'immediate' when n % 100 < 85 then 'scheduled'
		when n % 100 < 90 then 'due' else 'held' end as kind
	from generate_series(1, 2 * @events::int) n
) e
order by n
