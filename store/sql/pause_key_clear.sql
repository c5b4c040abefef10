-- Sets the rows of a released key free, unless it is held for another reason
-- too. A hold of the row itself is none: the row was marked because of the pause,
-- and nothing else would bring it back. It must be a statement of its own behind
-- the release: only then does it see the rows that were marked while the release
-- waited. Locks the rows.
-- Index: the table's held index.
update {{table}} t
set held = false
where t.held
	and t.topic = @topic
	and t.partition_key = @key
	and not exists (
		select from omnibox.holds h
		where h.table_name = @table and h.topic = @topic and h.partition_key = @key
			and h.event_id is distinct from t.id
	)
