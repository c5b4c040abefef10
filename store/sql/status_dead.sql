-- Open dead letters by class, up to a cap. Takes no lock. Index:
-- dead_letters_open.
select error_class, count(*) as letters
from (
	select error_class from omnibox.dead_letters
	where table_name = @table and state = 'open'
	limit @cap + 1
) capped
group by error_class
order by letters desc, error_class
