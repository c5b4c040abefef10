-- Numbers a chunk of the plan, but for rows that others hold.
-- Locks: the rows of the chunk that are free, for a few milliseconds.
-- Index: that of the plan, and the table's primary key.
with next as materialized (
	select id, seq from {{.Plan}} where seq > @after order by seq limit @chunk
), free as materialized (
	select e.id, n.seq
	from next n join {{.Table}} e on e.id = n.id
	where e.status {{.Open}} and e.seq is null
	for update of e skip locked
), numbered as (
	update {{.Table}} e set seq = f.seq{{if .IsInbox}},
		topic = coalesce(e.topic, e.source), partition_key = coalesce(e.partition_key, e.message_id)
	{{else}} {{end}}from free f where e.id = f.id returning 1
)
select coalesce((select max(seq) from next), 0), (select count(*) from numbered)
