-- Which of the events wait as dead ones in their workflows for a person.
-- Locks: none.
-- Index: dead_letters_open.
select event_id
from omnibox.dead_letters
where table_name = @table and event_id = any (@ids::uuid[]) and state = 'open' and parked_until > now()
