-- Ends the holds of events; returns the keys.
-- Locks: the holds, for update: waits for a fetch that is marking rows.
-- Index: primary key of omnibox.holds.
delete from omnibox.holds h
using unnest(@ids::uuid[], @topics::text[], @keys::text[]) o (id, topic, partition_key)
where h.table_name = @table and h.topic = o.topic and h.partition_key = o.partition_key and h.event_id = o.id
returning h.topic, h.partition_key
