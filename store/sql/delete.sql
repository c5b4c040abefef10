-- Deletes delivered events whose leases this transaction has locked.
-- Locks: the rows.
-- Index: primary key.
delete from {{table}} t
using unnest(@ids::uuid[], @created_ats::timestamptz[]) o (id, created_at)
where t.id = o.id and t.created_at = o.created_at and t.status = 'pending'
