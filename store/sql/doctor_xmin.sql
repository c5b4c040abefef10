-- Who keeps vacuum from removing dead rows: transactions older than five
-- minutes, prepared transactions, and replication slots far behind. Takes no
-- lock.
select format('session %s of %s (%s), in a transaction since %s',
	pid, coalesce(usename, '?'), coalesce(nullif(application_name, ''), 'no name'), date_trunc('second', xact_start)) as holder,
	format('select pg_terminate_backend(%s)', pid) as mend
from pg_stat_activity
where datname = current_database()
	and pid <> pg_backend_pid()
	and backend_type = 'client backend'
	and xact_start < clock_timestamp() - interval '5 minutes'
union all
select format('prepared transaction %s since %s', quote_literal(gid), date_trunc('second', prepared)),
	format('rollback prepared %L', gid)
from pg_prepared_xacts
where database = current_database() and prepared < clock_timestamp() - interval '5 minutes'
union all
select format('replication slot %s, %s transactions behind', quote_literal(slot_name), age(xmin)),
	format('select pg_drop_replication_slot(%L)', slot_name)
from pg_replication_slots
where xmin is not null and age(xmin) > 1000000
limit 5
