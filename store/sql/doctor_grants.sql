-- Which of some rights the current user lacks. Tables that are not there are
-- left out. Reads the catalog, so that no right is needed to ask. Takes no lock.
select need.schema, need.name, need.privilege
from unnest(@schemas::text[], @names::text[], @privileges::text[]) with ordinality as need (schema, name, privilege, n)
join pg_namespace s on s.nspname = need.schema
join pg_class c on c.relnamespace = s.oid and c.relname = need.name
where not has_table_privilege(c.oid, need.privilege)
order by need.n
