-- Writes an event from any language; returns its id, or that of the row that
-- has the idempotency key already. Every mistake is reported at once.
create function omnibox.enqueue(
	outbox          regclass,
	topic           text,
	partition_key   text,
	event_type      text,
	aggregate_type  text,
	aggregate_id    uuid,
	payload         jsonb,
	headers         jsonb       default null,
	schema_version  text        default null,
	trace_id        text        default null,
	correlation_id  text        default null,
	causation_id    text        default null,
	idempotency_key text        default null,
	scheduled_at    timestamptz default null,
	max_attempts    integer     default 6,
	id              uuid        default null
) returns uuid
	language plpgsql set search_path = pg_catalog, pg_temp as
$$
declare
	blank    constant text := E' \t\n\x0b\f\r\x1c\x1d\x1e\x1f';
	mistakes text[];
	created  timestamptz := clock_timestamp();
	written  uuid;
begin
	topic := btrim(topic, blank);
	partition_key := btrim(partition_key, blank);
	event_type := btrim(event_type, blank);
	aggregate_type := btrim(aggregate_type, blank);
	schema_version := btrim(schema_version, blank);
	trace_id := btrim(trace_id, blank);
	correlation_id := btrim(correlation_id, blank);
	causation_id := btrim(causation_id, blank);
	idempotency_key := btrim(idempotency_key, blank);
	id := coalesce(id, gen_random_uuid());
	max_attempts := coalesce(max_attempts, 6);
	scheduled_at := coalesce(scheduled_at, created);
	if jsonb_typeof(headers) = 'null' or headers = '{}' then
		headers := null;
	end if;

	select array_agg(format('%s: %s', f.name, f.mistake)) into mistakes
	from (
		select v.name, case
				when v.value is null and v.required then 'is required'
				when v.value = '' then 'must not be blank'
				when length(v.value) > v.most then format('has %s characters, at most %s are allowed', length(v.value), v.most)
			end as mistake
		from (values
			('topic', topic, 255, true),
			('partition_key', partition_key, 255, true),
			('event_type', event_type, 100, true),
			('aggregate_type', aggregate_type, 50, true),
			('aggregate_id', aggregate_id::text, 36, true),
			('schema_version', schema_version, 50, false),
			('trace_id', trace_id, 64, false),
			('correlation_id', correlation_id, 64, false),
			('causation_id', causation_id, 64, false),
			('idempotency_key', idempotency_key, 128, false)
		) as v (name, value, most, required)
		union all
		select 'id', case when substr(id::text, 15, 1) <> '4' or substr(id::text, 20, 1) not in ('8', '9', 'a', 'b')
			then 'must be a UUID of version 4' end
		union all
		select 'max_attempts', case when max_attempts < 1 then 'must be at least 1' end
		union all
		select 'scheduled_at', case
				when scheduled_at < created - interval '60 seconds' then 'is more than 60 seconds in the past'
				when extract(epoch from scheduled_at - created) > 365 * 86400 then 'is more than 365 days ahead'
			end
		union all
		select 'payload', case
				when payload is null then 'is required'
				when jsonb_typeof(payload) <> 'object' then 'must be a JSON object'
				when payload = '{}' then 'must not be empty'
				-- jsonb's text has blanks between its parts, which do not count
				when octet_length(payload::text) > 1000000
					and octet_length(regexp_replace(payload::text, '("(?:[^"\\]|\\.)*")|\s', '\1', 'g')) > 1000000
					then 'has more than 1000000 bytes'
			end
		union all
		select 'headers', case when headers is not null and jsonb_typeof(headers) <> 'object' then 'must be a JSON object' end
		union all
		select 'headers', omnibox.header_mistake(h.key, h.value)
		from jsonb_each(case when jsonb_typeof(headers) = 'object' then headers end) h
		union all
		select 'headers', case when count(*) > 100 then 'has more than 100 entries'
			when count(distinct lower(btrim(h.key, blank))) < count(*) then 'has keys that differ only in case or blanks' end
		from jsonb_object_keys(case when jsonb_typeof(headers) = 'object' then headers end) h (key)
	) f
	where f.mistake is not null;

	if mistakes is not null then
		raise exception 'omnibox.enqueue: %', array_to_string(mistakes, '; ') using errcode = 'invalid_parameter_value';
	end if;
	if headers is not null then
		select jsonb_object_agg(btrim(h.key, blank), btrim(h.value, blank)) into headers from jsonb_each_text(headers) h;
	end if;

	loop
		execute format(
			'insert into %s (id, topic, partition_key, aggregate_type, aggregate_id, event_type, payload, headers,
				trace_id, idempotency_key, correlation_id, causation_id, schema_version, max_attempts, created_at, scheduled_at)
			values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, greatest($16, $15))
			on conflict (idempotency_key) where idempotency_key is not null do nothing
			returning id', outbox)
		into written
		using id, topic, partition_key, aggregate_type, aggregate_id, event_type, payload, headers,
			trace_id, idempotency_key, correlation_id, causation_id, schema_version, max_attempts, created, scheduled_at;
		exit when written is not null;
		-- a new statement, so that it sees what the insert has met
		execute format('select id from %s where idempotency_key = $1', outbox) into written using idempotency_key;
		exit when written is not null; -- else it was deleted in between
	end loop;
	return written;
end
$$;

-- What is wrong with a header; null if nothing.
create function omnibox.header_mistake(key text, value jsonb) returns text
	language sql immutable set search_path = pg_catalog, pg_temp as
$$
	select case
		when k = '' then 'has a blank key'
		when length(k) > 64 then format('has a key of %s characters, at most 64 are allowed', length(k))
		when k ~ '[\x01-\x1f\x7f]' then 'has control characters in a key'
		when jsonb_typeof(value) <> 'string' then format('%s is not a string', k)
		when v = '' then format('%s is blank', k)
		when length(v) > 512 then format('%s has %s characters, at most 512 are allowed', k, length(v))
		when v ~ '[\x01-\x08\x0a-\x1f\x7f]' then format('%s has control characters', k)
	end
	from (select btrim(key, E' \t\n\x0b\f\r\x1c\x1d\x1e\x1f') as k, btrim(value #>> '{}', E' \t\n\x0b\f\r\x1c\x1d\x1e\x1f') as v) trimmed
$$;
