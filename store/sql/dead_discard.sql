-- Gives dead events up on purpose; their rows stay failed. Index: primary key.
update omnibox.dead_letters
set state = 'discarded', resolved_at = clock_timestamp(), resolved_by = @by, note = nullif(@note, '')
where id = any (@letters::bigint[]) and state = 'open'
returning id
