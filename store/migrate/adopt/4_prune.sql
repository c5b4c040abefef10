-- Leaves in the plan what has no number yet. Locks: rows of the plan.
delete from {{.Plan}} p
where not exists (select from {{.Table}} e where e.id = p.id and e.status {{.Open}} and e.seq is null);
