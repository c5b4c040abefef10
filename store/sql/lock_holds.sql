-- Makes those take turns who end holds of a key: each would leave the marks to the
-- other's hold, of which it does not know that it is ending too.
-- Locks: the holds of the key, for update, in order.
-- Index: primary key.
select from omnibox.holds
where table_name = @table and topic = @topic and partition_key = @key
order by reason
for update
