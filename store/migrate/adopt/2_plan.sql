-- The numbers of the rows that were {{if .IsInbox}}pending or dead{{else}}pending{{end}} before the sequence: in omni-box's
-- order. They are decided once, so that it does not matter in which order rows
-- are free to be written. Locks: none.
create table if not exists {{.Plan}} as
select id, row_number() over (order by created_at, id) as seq
from {{.Table}}
where status {{.Open}} and seq is null;

create unique index if not exists {{.PlanIndex}} on {{.Plan}} (seq);
