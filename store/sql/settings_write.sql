-- Writes down what every worker of a table must agree on. Locks its row.
-- Index: primary key.
update omnibox.boxes
set settings = @settings::jsonb
where table_name = @table
