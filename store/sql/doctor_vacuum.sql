-- How well vacuum keeps up with the table. Takes no lock.
select greatest(c.reltuples, 0)::bigint, coalesce(s.n_dead_tup, 0),
	coalesce(array_to_string(c.reloptions, ',') ~ 'autovacuum_enabled=(false|off)', false),
	coalesce(array_to_string(c.reloptions, ',') ~ 'autovacuum_vacuum_scale_factor', false),
	current_setting('autovacuum')::boolean
from pg_class c
left join pg_stat_user_tables s on s.relid = c.oid
where c.oid = to_regclass(@quoted)
