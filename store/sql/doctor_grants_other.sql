-- Rights beside those on tables: on the schemas, and on the sequence of seq.
-- Takes no lock.
select has_schema_privilege('omnibox', 'usage'),
	has_schema_privilege(c.relnamespace, 'usage'),
	coalesce(has_sequence_privilege(pg_get_serial_sequence(@quoted, 'seq'), 'usage'), true),
	coalesce(pg_get_serial_sequence(@quoted, 'seq'), '')
from pg_class c
where c.oid = to_regclass(@quoted)
