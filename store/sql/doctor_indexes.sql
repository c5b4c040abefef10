-- Indexes of the table that no statement has used and no constraint needs,
-- ours left out, on a table that has been read through indexes at all. Takes no
-- lock.
select format('%I.%I', s.schemaname, s.indexrelname), pg_size_pretty(pg_relation_size(s.indexrelid))
from pg_stat_user_indexes s
join pg_index i on i.indexrelid = s.indexrelid
join pg_stat_user_tables t on t.relid = s.relid
where s.relid = to_regclass(@quoted)
	and s.idx_scan = 0
	and not i.indisunique
	and t.idx_scan > 1000
	and pg_get_indexdef(s.indexrelid) !~ 'hashtextextended|WHERE held|lease_until IS NOT NULL'
order by pg_relation_size(s.indexrelid) desc
