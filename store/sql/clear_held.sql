-- Brings the rows of keys that nothing else holds any more back into the fetch.
-- Its snapshot must be younger than the end of the hold: a statement of its own.
-- Locks: the rows.
-- Index: _held; primary key of omnibox.holds.
update {{table}} t
set held = false
from (select distinct * from unnest(@topics::text[], @keys::text[]) k (topic, partition_key)) k
where t.held and t.topic = k.topic and t.partition_key = k.partition_key
	and not exists (
		select from omnibox.holds h
		where h.table_name = @table and h.topic = k.topic and h.partition_key = k.partition_key
			and h.event_id is distinct from t.id
	)
