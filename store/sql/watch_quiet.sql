-- Silences the insert trigger for a second, and tells every listener so, unless
-- that was done half a second ago. Locks: the table's row in boxes, for itself.
-- Index: the primary key of boxes.
with hushed as (
	update omnibox.boxes
	set quiet_until = clock_timestamp() + interval '1 second'
	where table_name = @table_name and quiet_until < clock_timestamp() + interval '500 milliseconds'
	returning table_name
)
select pg_notify(@channel, 'quiet')::text from hushed
