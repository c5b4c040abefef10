-- How many rows are pending, counted no further than @most: due now, later, and
-- behind a hold. Takes no lock.
-- Index: _due, _scheduled and _held, their entries alone.
select count(*)
from (
	(select from {{table}}
	where status = 'pending' and not held and (scheduled_at - created_at) <= interval '1 second'
	limit @most::bigint)
	union all
	(select from {{table}}
	where status = 'pending' and not held and (scheduled_at - created_at) > interval '1 second'
	limit @most::bigint)
	union all
	(select from {{table}}
	where held
	limit @most::bigint)
	limit @most::bigint
) pending
