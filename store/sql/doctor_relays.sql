-- Names of other relays: owners of pending rows that were locked without a
-- lease. Looks at some thousand rows alone. Takes no lock. Index: the table's
-- due index.
select distinct locked_by
from (
	select locked_by, lease_token
	from {{table}}
	where status = 'pending' and not held and (scheduled_at - created_at) <= interval '1 second'
	limit 5000
) sample
where locked_by is not null and lease_token is null
order by locked_by
limit 5
