-- Plans rows that omni-box has put back since: as new ones, for they come last.
insert into {{.Plan}} (id, seq)
select late.id, nextval({{.SequenceText}})
from (
	select e.id from {{.Table}} e
	where e.status {{.Open}} and e.seq is null and not exists (select from {{.Plan}} p where p.id = e.id)
	order by e.created_at, e.id
) late;
