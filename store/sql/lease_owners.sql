-- Workers that have slots or rows of a table in their hands. The lease of an event
-- that waits with its workflow is no worker's. Takes no lock. Index: primary key of
-- slots; the table's leased index.
select owner
from omnibox.slots
where table_name = @table and lease_until > now() and owner is not null
union
select locked_by
from {{table}}
where status = 'pending' and lease_until is not null and lease_until > now()
	and locked_by <> 'backoff' and locked_by not like 'workflow:%'
order by 1
limit 20
