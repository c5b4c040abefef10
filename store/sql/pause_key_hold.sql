-- Who holds a key for a person, and since when. Takes no lock. Index: primary
-- key.
select since, coalesce(held_by, '')
from omnibox.holds
where table_name = @table and topic = @topic and partition_key = @key and reason = 'paused'
