-- Makes a pipeline known, if it is not. Index: primary key.
insert into omnibox.pipelines (name, table_name)
values (@pipeline, @table)
on conflict (name) do nothing
