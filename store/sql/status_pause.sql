-- How a pipeline is paused. Takes no lock. Index: primary key.
select paused_at, coalesce(paused_by, ''), coalesce(pause_reason, '')
from omnibox.pipelines
where name = @pipeline and paused_at is not null
