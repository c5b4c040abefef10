-- Which of the events wait as dead ones in their workflows for a person.
-- Locks: none.
-- Index: dead_letters_open.
select d.event_id
from unnest(@ids::uuid[], @created_ats::timestamptz[]) o (id, created_at)
join omnibox.dead_letters d on d.event_id = o.id and d.event_created_at = o.created_at
where d.table_name = @table and d.state = 'open' and d.parked_until > now()
