-- Makes the keys of failed events wait for them.
-- Locks: the new holds, in order.
-- Index: primary key of omnibox.holds; primary key of the table.
insert into omnibox.holds (table_name, topic, partition_key, reason, event_id, event_created_at, held_by)
select @table, t.topic, t.partition_key, 'retry', t.id, t.created_at, @owner
from unnest(@ids::uuid[], @created_ats::timestamptz[]) o (id, created_at)
join {{table}} t on t.id = o.id and t.created_at = o.created_at
where t.status = 'pending'
order by t.topic, t.partition_key, t.seq
on conflict (table_name, topic, partition_key, reason) do nothing
