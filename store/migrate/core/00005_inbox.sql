-- What inboxes keep beside their tables.

-- the messages that an inbox has seen, where its table cannot say so: a unique
-- index of a partitioned table would have to hold the time as well, and a row that
-- is deleted once it is handled is forgotten
create table omnibox.inbox_keys (
	table_name     text        not null,
	consumer_group text        not null,
	message_id     text        not null,
	event_id       uuid        not null,
	landed_at      timestamptz not null, -- with event_id it refers to the row
	primary key (table_name, consumer_group, message_id)
);
create index inbox_keys_landed on omnibox.inbox_keys (table_name, consumer_group, landed_at); -- to forget the oldest

-- a partition of a topic as its consumer last reported it
create table omnibox.consumers (
	pipeline   text        not null,
	topic      text        not null,
	partition  integer     not null, -- -1: what is reported is not about one partition
	member     text        not null,
	owner      text        not null,
	position   bigint      not null, -- the offset that is read next
	high_water bigint      not null, -- the offset that is written next
	paused     boolean     not null,
	error      text        not null,
	updated_at timestamptz not null,
	primary key (pipeline, topic, partition)
);

-- Gives a message that another program has landed what orders it: nothing else, so
-- that it waits for nobody. Our own messages have theirs.
create function omnibox.order_message() returns trigger
	language plpgsql set search_path = pg_catalog, pg_temp as
$$
begin
	new.topic := coalesce(new.topic, new.source);
	new.partition_key := coalesce(new.partition_key, new.message_id);
	return new;
end
$$;

-- The function omnibox.notify_insert, which refuses no bodies in an inbox: nothing
-- is sent from there.
create or replace function omnibox.notify_insert() returns trigger
	language plpgsql security definer set search_path = pg_catalog, pg_temp as
$$
declare
	box   omnibox.boxes;
	woken text;
begin
	select * into box from omnibox.boxes b where b.table_name = tg_argv[0];
	if box.kind = 'outbox' and box.settings ->> 'claim' = 'row' then
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
