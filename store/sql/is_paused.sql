-- Whether the pipeline is paused.
-- Locks: none.
-- Index: primary key of omnibox.pipelines.
select exists (select from omnibox.pipelines where name = @pipeline and paused_at is not null)
