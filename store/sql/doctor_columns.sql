-- The columns of a table. Takes no lock.
select attname
from pg_attribute
where attrelid = to_regclass(@quoted) and attnum > 0 and not attisdropped
