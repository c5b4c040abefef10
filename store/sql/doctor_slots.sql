-- How many slots of a table have their lease row. Takes no lock. Index: primary
-- key.
select count(*)
from omnibox.slots
where table_name = @table and slot between 0 and 63
