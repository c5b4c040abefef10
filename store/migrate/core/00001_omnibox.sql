-- What omnibox keeps beside the tables that it relays. The schema is there.

-- which database this is: workers compare it with what a poller was started for
create table omnibox.identity (
	id         uuid        not null default gen_random_uuid(),
	created_at timestamptz not null default now(),
	only_one   boolean     primary key default true check (only_one)
);
insert into omnibox.identity default values;

-- one row a relayed table
create table omnibox.boxes (
	table_name  text        primary key, -- schema.table
	kind        text        not null default 'outbox',
	settings    jsonb,                   -- keys that order depends on; the first worker writes its own
	notify      boolean     not null default true,
	quiet_until timestamptz not null default '-infinity', -- the trigger is silent until then
	created_at  timestamptz not null default now()
);

create table omnibox.pipelines (
	name         text        primary key,
	table_name   text        not null,
	paused_at    timestamptz,
	paused_by    text,
	pause_reason text,
	created_at   timestamptz not null default now()
);

-- the lease of a slot; 64 rows a table
create table omnibox.slots (
	table_name  text        not null,
	slot        smallint    not null,
	token       bigint      not null default 0,
	owner       text,
	lease_until timestamptz not null default '-infinity',
	dirty       boolean     not null default false, -- the owner has not finished in order
	primary key (table_name, slot)
) with (fillfactor = 50);

-- why a key waits
create table omnibox.holds (
	table_name       text        not null,
	topic            text        not null,
	partition_key    text        not null,
	reason           text        not null check (reason in ('retry', 'workflow', 'paused')),
	event_id         uuid,        -- the event that holds it; null for paused
	event_created_at timestamptz,
	since            timestamptz not null default now(),
	held_by          text,
	primary key (table_name, topic, partition_key, reason)
);

create table omnibox.dead_letters (
	id               bigint      generated always as identity primary key,
	table_name       text        not null,
	pipeline         text        not null,
	event_id         uuid        not null,
	event_created_at timestamptz not null,
	topic            text        not null,
	partition_key    text        not null,
	event_type       text        not null,
	error            text        not null,
	error_class      text        not null,
	fingerprint      text        not null, -- equal for failures of the same kind
	attempts         integer     not null, -- the true number
	first_at         timestamptz not null, -- when the event was written
	last_at          timestamptz not null default clock_timestamp(), -- when it died
	state            text        not null default 'open' check (state in ('open', 'replayed', 'discarded')),
	resolved_at      timestamptz,
	resolved_by      text,
	note             text
);
create unique index dead_letters_open on omnibox.dead_letters (table_name, event_id, event_created_at) where state = 'open';
create index dead_letters_recent on omnibox.dead_letters (table_name, last_at desc);

-- Tells listeners which slots have new rows: one notification a statement, none
-- while the box is quiet. Refuses bodies that are not JSON where rows are leased
-- one by one: another relay may be at work there, and it would send what stands
-- in the payload. It belongs to the migrating role, so that a producer
-- needs no right in this schema.
create function omnibox.notify_insert() returns trigger
	language plpgsql security definer set search_path = pg_catalog, pg_temp as
$$
declare
	box   omnibox.boxes;
	woken text;
begin
	select * into box from omnibox.boxes b where b.table_name = tg_argv[0];
	if box.settings ->> 'claim' = 'row' then
		if exists (select from inserted i where i.body is not null) then
			raise check_violation using
				message = 'a body that is not JSON is refused while the table has claim: row, since another relay may read it',
				hint = 'send JSON in payload, or stop the other relay and set claim: shard with `omnibox config apply`';
		end if;
	end if;
	if box.table_name is null or not box.notify or box.quiet_until > clock_timestamp() then
		return null;
	end if;
	select case when count(*) > 20 then '*' else string_agg(s.slot::text, ',') end into woken
	from (
		select distinct hashtextextended(i.partition_key, hashtextextended(i.topic, 0)) & 63 as slot
		from inserted i
		where i.status = 'pending' and i.scheduled_at - i.created_at <= interval '1 second'
	) s;
	if woken is not null then
		perform pg_notify('omnibox_' || tg_relid, woken);
	end if;
	return null;
end
$$;
