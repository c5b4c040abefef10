-- What came of the runs up to a number, and when the first invoice behind it was
-- written, which is null if there is none.
-- Locks: none.
-- Index: none; the table is small.
select @number - count(*) filter (where number <= @number), min(written_at) filter (where number > @number)
from invoices
