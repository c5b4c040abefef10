-- A new table of messages: omni-box's columns, checks and names, and ours.
create sequence {{.Sequence}};

create table {{.Table}} (
	id              uuid          not null,
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
	message_id      varchar(255)  not null,
	consumer_group  varchar(255)  not null,
	source          varchar(255)  not null,
	-- beyond omni-box's columns: nullable or with a default
	topic           varchar(255),
	partition_key   varchar(255),
	aggregate_type  varchar(50),
	aggregate_id    uuid,
	seq             bigint        default nextval({{.SequenceText}}),
	lease_token     bigint,
	lease_until     timestamptz,
	held            boolean       not null default false,
	fetches         integer       not null default 0,
	body            bytea,
	content_type    varchar(255),
	error_class     varchar(20),
	replays         integer       not null default 0,
	partition       integer,
	"offset"        bigint,
	raw_key         bytea,
	occurred_at     timestamptz,
	raw_headers     jsonb,
	primary key (id{{if .Partitioned}}, created_at{{end}}),
	constraint {{.Constraint "attempts_valid"}}
		check (attempts_made <= max_attempts),
	constraint {{.Constraint "completed_status_consistency"}}
		check ((status = 'completed' and completed_at is not null) or (status <> 'completed' and completed_at is null)),
	constraint {{.Constraint "lock_consistency"}}
		check ((locked_at is null and locked_by is null) or (locked_at is not null and locked_by is not null))
){{if .Partitioned}} partition by range (created_at){{end}};

alter sequence {{.Sequence}} owned by {{.Table}}.seq;
{{if .Partitioned}}
-- This month and the next, by UTC, and one for every other time: a message is
-- landed whatever the clock says and whoever forgot to add a month.
create table {{.DefaultPartition}} partition of {{.Table}} default;

do $$
declare
	month timestamp := date_trunc('month', now() at time zone 'UTC');
begin
	for month in select month + n * interval '1 month' from generate_series(0, 1) n loop
		execute format('create table %I.%I partition of %s for values from (%L) to (%L)',
			{{.SchemaText}}, {{.MonthText}} || to_char(month, 'YYYYMM'), {{.TableText}},
			month at time zone 'UTC', (month + interval '1 month') at time zone 'UTC');
	end loop;
end
$$;
{{end}}
