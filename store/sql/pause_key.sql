-- Holds a key for a person. A fetch under way keeps what it has read. Index:
-- primary key.
insert into omnibox.holds (table_name, topic, partition_key, reason, held_by)
values (@table, @topic, @key, 'paused', @by)
on conflict do nothing
