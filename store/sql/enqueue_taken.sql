-- The rows that have these idempotency keys. Takes no lock.
-- Index: the unique one on idempotency_key.
select idempotency_key, id::text, coalesce(seq, 0), created_at
from {{table}}
where idempotency_key is not null and idempotency_key = any (@idempotency_keys::text::text[])
