-- The leases of a table's slots. Takes no lock. Index: primary key.
select slot, coalesce(owner, '') as owner, lease_until > now() as held,
	case when isfinite(lease_until) then lease_until end as until, dirty
from omnibox.slots
where table_name = @table
order by slot
