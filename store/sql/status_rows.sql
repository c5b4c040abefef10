-- How many rows are leased one by one and how many wait behind a hold, up to a
-- cap. Takes no lock. Index: the table's leased and held indexes.
select
	(select count(*) from (
		select from {{table}}
		where status = 'pending' and lease_until is not null and lease_until > now()
		limit @cap + 1
	) leased),
	(select count(*) from (
		select from {{table}} where held
		limit @cap + 1
	) held)
