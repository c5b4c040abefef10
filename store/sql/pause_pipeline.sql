-- Pauses a pipeline, if it is not; returns how it is paused now. Locks the
-- pipeline's row. Index: primary key.
insert into omnibox.pipelines as p (name, table_name, paused_at, paused_by, pause_reason)
values (@pipeline, @table, clock_timestamp(), @by, nullif(@reason, ''))
on conflict (name) do update
set paused_at = coalesce(p.paused_at, excluded.paused_at),
	paused_by = case when p.paused_at is null then excluded.paused_by else p.paused_by end,
	pause_reason = case when p.paused_at is null then excluded.pause_reason else p.pause_reason end
returning paused_at, coalesce(paused_by, ''), coalesce(pause_reason, '')
