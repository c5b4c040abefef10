-- Locks dead letters in the order of their numbers, so that two people who
-- replay and discard the same ones do not deadlock. Index: primary key.
select id
from omnibox.dead_letters
where id = any (@letters::bigint[])
order by id
for update
