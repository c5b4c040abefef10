-- Makes a pipeline work on this table from now on. Locks its row. Index:
-- primary key.
update omnibox.pipelines
set table_name = @table
where name = @pipeline
