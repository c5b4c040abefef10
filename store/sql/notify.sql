-- Wakes the workers of a table up, for all its slots. Takes no lock.
select pg_notify('omnibox_' || to_regclass(@quoted)::oid, '*')
