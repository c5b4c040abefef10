-- How many events of a pipeline are with workflows of their own, up to a cap, and
-- what was left of the budget when it was last used. Takes no lock. Index: the
-- table's leased index; dead_letters_parked; primary key.
select
	(select count(*) from (
		select from {{table}}
		where status = 'pending' and lease_until is not null and lease_until > now()
			and locked_by = @workflow and error_class is null
		limit @cap + 1
	) flying),
	(select count(*) from (
		select from {{table}}
		where status = 'pending' and lease_until is not null and lease_until > now()
			and locked_by = @workflow and error_class is not null
		limit @cap + 1
	) retrying),
	(select count(*) from (
		select from omnibox.dead_letters
		where table_name = @table and pipeline = @pipeline and state = 'open' and parked_until > now()
		limit @cap + 1
	) parked),
	(select workflow_tokens from omnibox.pipelines where name = @pipeline),
	(select workflow_tokens_at from omnibox.pipelines where name = @pipeline)
