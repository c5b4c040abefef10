-- Whether messages of the group have been landed by their keys. Takes no lock.
-- Index: primary key of omnibox.inbox_keys.
select exists (select from omnibox.inbox_keys where table_name = @table and consumer_group = @group)
