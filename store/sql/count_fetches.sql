-- Counts a delivery about to begin, of events whose leases this transaction has
-- locked. Where slots are leased, a row whose own lease has run out is taken from
-- its workflow, and its token rises: what that still writes is stale.
-- Locks: the rows.
-- Index: primary key.
update {{table}} t
set fetches = t.fetches + 1,
	lease_token = case when @slots and t.lease_until is not null then t.lease_token + 1 else t.lease_token end,
	lease_until = case when not @slots then t.lease_until end,
	locked_at = case when not @slots then t.locked_at end,
	locked_by = case when not @slots then t.locked_by end
from unnest(@ids::uuid[], @created_ats::timestamptz[]) o (id, created_at)
where t.id = o.id and t.created_at = o.created_at and t.status = 'pending'
returning t.id, t.fetches
