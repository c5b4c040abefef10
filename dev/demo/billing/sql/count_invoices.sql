-- How many invoices there are.
-- Locks: none.
-- Index: none; the table is small.
select count(*) from invoices
