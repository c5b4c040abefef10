-- How many messages are completed, and how many are not; how many effects there
-- are, of how many messages, and how many come before an earlier one of their key.
-- Locks: none.
-- Index: none.
select m.completed, m.other, f.effects, f.messages, f.disordered
from (
	select count(*) filter (where status = 'completed') as completed, count(*) filter (where status <> 'completed') as other
	from inbox_events
) m, (
	select count(*) as effects, count(distinct message_id) as messages, count(*) filter (where n <= before) as disordered
	from (select message_id, n, lag(n) over (partition by key order by id) as before from effects) e
) f
