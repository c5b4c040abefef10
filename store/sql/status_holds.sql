-- Keys that are held, by reason, up to a cap. Takes no lock. Index: primary key.
select reason, count(*) as keys
from (
	select reason from omnibox.holds
	where table_name = @table
	limit @cap + 1
) capped
group by reason
order by reason
