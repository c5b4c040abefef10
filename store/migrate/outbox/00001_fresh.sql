-- +goose Up
-- {{.Table}} is the quoted, qualified table; {{.Name}} its bare name.
create table {{.Table}} (
	id              uuid          primary key,
	topic           varchar(255)  not null,
	partition_key   varchar(255)  not null,
	aggregate_type  varchar(50)   not null,
	aggregate_id    uuid          not null,
	event_type      varchar(100)  not null,
	payload         jsonb         not null,
	headers         jsonb,
	trace_id        varchar(64),
	idempotency_key varchar(128),
	correlation_id  varchar(64),
	causation_id    varchar(64),
	schema_version  varchar(50),
	status          varchar(20)   not null default 'pending',
	attempts_made   integer       not null default 0,
	max_attempts    integer       not null default 6,
	last_error      varchar(2000),
	scheduled_at    timestamptz   not null default now(),
	completed_at    timestamptz,
	locked_at       timestamptz,
	locked_by       varchar(255),
	created_at      timestamptz   not null default now(),
	updated_at      timestamptz   not null default now(),
	-- beyond omni-box's columns: nullable or with a default
	seq             bigint        default nextval('{{.Sequence}}'),
	lease_token     bigint,
	lease_until     timestamptz,
	held            boolean       not null default false,
	fetches         integer       not null default 0,
	body            bytea,
	content_type    varchar(255),
	error_class     varchar(20),
	replays         integer       not null default 0
	-- checks: attempts_made <= max_attempts; completed <=> completed_at; locked_at and locked_by both or neither
);
-- due now: the claim index of immediate rows
create index {{.Name}}_due on {{.Table}} ((hashtextextended(partition_key, hashtextextended(topic, 0)) & 63), seq)
	where status = 'pending' and not held and (scheduled_at - created_at) <= interval '1 second';
-- due later: scheduled and retried rows
create index {{.Name}}_scheduled on {{.Table}} ((hashtextextended(partition_key, hashtextextended(topic, 0)) & 63), scheduled_at, seq)
	where status = 'pending' and not held and (scheduled_at - created_at) > interval '1 second';
create index {{.Name}}_held on {{.Table}} (topic, partition_key, seq) where held;
create index {{.Name}}_leased on {{.Table}} (topic, partition_key, seq) where status = 'pending' and lease_until is not null;
create unique index {{.Name}}_idempotency on {{.Table}} (idempotency_key) where idempotency_key is not null;
