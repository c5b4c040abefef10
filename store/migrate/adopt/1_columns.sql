-- Our columns, and the defaults that omni-box leaves to Python. All of it
-- changes the catalog alone. A new row is numbered from here on, above whatever
-- the rows that are there will get.
create sequence if not exists {{.Sequence}} start with {{.FirstSeq}} minvalue 1;

alter table {{.Table}}
	add column if not exists seq          bigint,
	add column if not exists lease_token  bigint,
	add column if not exists lease_until  timestamptz,
	add column if not exists held         boolean not null default false,
	add column if not exists fetches      integer not null default 0,
	add column if not exists body         bytea,
	add column if not exists content_type varchar(255),
	add column if not exists error_class  varchar(20),
	add column if not exists replays      integer not null default 0
{{- if .IsInbox}},
	add column if not exists topic          varchar(255),
	add column if not exists partition_key  varchar(255),
	add column if not exists aggregate_type varchar(50),
	add column if not exists aggregate_id   uuid,
	add column if not exists partition      integer,
	add column if not exists "offset"       bigint,
	add column if not exists raw_key        bytea,
	add column if not exists occurred_at    timestamptz,
	add column if not exists raw_headers    jsonb
{{- end}};

-- A default that comes with its column would rewrite the table; set afterwards
-- it is for new rows. Those of the times are mended: omni-box's are off by the
-- session's time zone.
alter table {{.Table}}
	alter column seq           set default nextval({{.SequenceText}}),
	alter column status        set default 'pending',
	alter column attempts_made set default 0,
	alter column max_attempts  set default 6,
	alter column scheduled_at  set default now(),
	alter column created_at    set default now(),
	alter column updated_at    set default now();

alter sequence {{.Sequence}} owned by {{.Table}}.seq;

-- Whoever may insert now needs the sequence.
do $$
declare
	grantee oid;
begin
	for grantee in
		select a.grantee from pg_class c, aclexplode(c.relacl) a
		where c.oid = {{.TableText}}::regclass and a.privilege_type = 'INSERT' and a.grantee <> c.relowner
		union
		select a.grantee from pg_attribute c, aclexplode(c.attacl) a
		where c.attrelid = {{.TableText}}::regclass and a.privilege_type = 'INSERT'
	loop
		execute format('grant usage on sequence %s to %s', {{.SequenceText}},
			case grantee when 0 then 'public' else quote_ident(pg_get_userbyid(grantee)) end);
	end loop;
end
$$;
