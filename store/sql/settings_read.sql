-- What the first worker wrote down about a table, and the table that the
-- pipeline works on. Takes no lock. Index: primary keys.
select b.settings, coalesce(p.table_name, @table)
from omnibox.boxes b
left join omnibox.pipelines p on p.name = @pipeline
where b.table_name = @table
