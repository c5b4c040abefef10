-- How a pipeline is paused. Locks its row until the transaction ends, so that
-- what is read is what is changed. Index: primary key.
select paused_at, coalesce(paused_by, ''), coalesce(pause_reason, '')
from omnibox.pipelines
where name = @pipeline
for update
