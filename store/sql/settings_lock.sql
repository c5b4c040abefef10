-- What the first worker wrote down about a table. Locks its row, so that one
-- of several that start at once is the first. Index: primary key.
select settings
from omnibox.boxes
where table_name = @table
for update
