-- Makes transactions that write the same topic and key wait for one another.
-- Locks: an advisory one a key until the transaction ends, in one order for all.
with locks as materialized (
	select distinct hashtextextended(i.partition_key, hashtextextended(i.topic, @table::text::regclass::oid::bigint)) as id
	from unnest(@topics::text::text[], @keys::text::text[]) as i (topic, partition_key)
	order by id
)
select pg_advisory_xact_lock(id)::text from locks
