-- Records what a member of the consumers reports. Locks: the rows, in order of
-- topic and partition. Index: primary key of omnibox.consumers.
insert into omnibox.consumers as c (pipeline, topic, partition, member, owner, position, high_water, paused, error, updated_at)
select @pipeline, p.topic, p.partition, @member, @owner, p.position, p.high_water, p.paused, p.error, clock_timestamp()
from unnest(@topics::text[], @partitions::integer[], @positions::bigint[], @high_waters::bigint[], @paused::boolean[], @errors::text[])
	p (topic, partition, position, high_water, paused, error)
order by p.topic, p.partition
on conflict (pipeline, topic, partition)
do update set member = excluded.member, owner = excluded.owner, position = excluded.position,
	high_water = excluded.high_water, paused = excluded.paused, error = excluded.error, updated_at = excluded.updated_at
