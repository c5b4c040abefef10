-- Gives an event that may have ended its worker to the batch lane: the count of
-- its deliveries stays, so that it runs alone there. The token rises: what the
-- workflow still writes is stale.
-- Locks: the row.
-- Index: primary key.
update {{table}} t
set lease_token = t.lease_token + 1, lease_until = null, locked_at = null, locked_by = null
where t.id = @id::uuid and t.created_at = @created_at::timestamptz and t.status = 'pending'
	and t.lease_token = @token::bigint and t.locked_by = @owner
