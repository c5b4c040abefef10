-- The table that a pipeline works on. A statement of its own behind the insert,
-- so that it sees what another worker has just inserted. Takes no lock. Index:
-- primary key.
select table_name
from omnibox.pipelines
where name = @pipeline
