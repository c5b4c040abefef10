-- Takes a person's hold of a key away. Waits for fetches that are marking rows
-- under it, which lock it for share. Index: primary key.
delete from omnibox.holds
where table_name = @table and topic = @topic and partition_key = @key and reason = 'paused'
returning since, coalesce(held_by, '')
