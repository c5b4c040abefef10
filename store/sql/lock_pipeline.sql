-- Makes those who start workflows take turns, so that what they count is true.
-- Locks: the pipeline's row, for update.
-- Index: primary key.
select from omnibox.pipelines where name = @pipeline for update
