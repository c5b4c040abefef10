-- What the consumers of a pipeline have last reported. Takes no lock. Index:
-- primary key of omnibox.consumers.
select topic, partition, member, owner, position, high_water, paused, error, updated_at
from omnibox.consumers
where pipeline = @pipeline
order by topic, partition
