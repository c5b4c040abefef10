-- Lets a paused pipeline go on. Locks its row. Index: primary key.
update omnibox.pipelines
set paused_at = null, paused_by = null, pause_reason = null
where name = @pipeline
