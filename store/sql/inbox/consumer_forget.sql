-- Forgets what a member of the consumers has reported before of partitions that it
-- does not name now. Index: primary key of omnibox.consumers.
delete from omnibox.consumers c
where c.pipeline = @pipeline and c.member = @member
	and not exists (
		select from unnest(@topics::text[], @partitions::integer[]) p (topic, partition)
		where p.topic = c.topic and p.partition = c.partition
	)
