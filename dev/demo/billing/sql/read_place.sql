-- The database's time, and the last number that a run has taken, whether its
-- invoice was committed or not.
-- Locks: none.
-- Index: none.
select clock_timestamp(), last_value from invoices_number_seq
