-- Due now: what a fetch reads of immediate rows.
create index {{.Concurrently}} {{.Index "due"}} on {{.Table}}
	((hashtextextended(partition_key, hashtextextended(topic, 0)) & 63), seq)
	where status = 'pending' and not held and (scheduled_at - created_at) <= interval '1 second';

-- Due later: what a fetch reads of scheduled and retried rows.
create index {{.Concurrently}} {{.Index "scheduled"}} on {{.Table}}
	((hashtextextended(partition_key, hashtextextended(topic, 0)) & 63), scheduled_at, seq)
	where status = 'pending' and not held and (scheduled_at - created_at) > interval '1 second';

-- The rows that a released key sets free.
create index {{.Concurrently}} {{.Index "held"}} on {{.Table}} (topic, partition_key, seq)
	where held;

-- The rows that hold back later ones of their key, where rows are leased.
create index {{.Concurrently}} {{.Index "leased"}} on {{.Table}} (topic, partition_key, seq)
	where status = 'pending' and lease_until is not null;
{{if .NeedsIdempotency}}
-- A key is written once.
create unique index {{.Concurrently}} {{.Index "idempotency"}} on {{.Table}} (idempotency_key)
	where idempotency_key is not null;
{{end}}{{if .NeedsDedup}}
-- A message is landed once a group.
create unique index {{.Concurrently}} {{.Dedup}} on {{.Table}} (message_id, consumer_group);
{{end}}
