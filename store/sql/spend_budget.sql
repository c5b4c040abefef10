-- Takes workflows from the budget of a pipeline: all that are wanted, or none.
-- The bucket holds @most and fills by @a_minute; a pipeline that has started none
-- yet finds it full. Returns a row if they were granted.
-- Locks: the pipeline's row, for update.
-- Index: primary key.
with filled as (
	select least(@most::double precision, coalesce(p.workflow_tokens
		+ extract(epoch from clock_timestamp() - p.workflow_tokens_at) / 60 * @a_minute::double precision, @most)) as tokens
	from omnibox.pipelines p
	where p.name = @pipeline
)
update omnibox.pipelines p
set workflow_tokens = f.tokens - @wanted, workflow_tokens_at = clock_timestamp()
from filled f
where p.name = @pipeline and f.tokens >= @wanted
returning p.workflow_tokens
