-- A new table of events: omni-box's columns, checks and names, and ours.
create sequence {{.Sequence}};

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
	updated_at      timestamptz   default now(),
	-- beyond omni-box's columns: nullable or with a default
	seq             bigint        default nextval({{.SequenceText}}),
	lease_token     bigint,
	lease_until     timestamptz,
	held            boolean       not null default false,
	fetches         integer       not null default 0,
	body            bytea,
	content_type    varchar(255),
	error_class     varchar(20),
	replays         integer       not null default 0,
	constraint {{.Constraint "attempts_valid"}}
		check (attempts_made <= max_attempts),
	constraint {{.Constraint "completed_status_consistency"}}
		check ((status = 'completed' and completed_at is not null) or (status <> 'completed' and completed_at is null)),
	constraint {{.Constraint "lock_consistency"}}
		check ((locked_at is null and locked_by is null) or (locked_at is not null and locked_by is not null))
);

alter sequence {{.Sequence}} owned by {{.Table}}.seq;
