-- The function omnibox.enqueue with the blanks of Unicode, as Enqueue has them:
-- stripped around a topic, key or header, refused where there is nothing else.
--
-- Writes an event from any language; returns its id, or that of the row that
-- has the idempotency key already. Every mistake is reported at once.
create or replace function omnibox.enqueue(
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
	-- whatever the encoding is, no byte of a letter may be taken for a blank
	blanks   constant text := E'[ \\t\\n\\v\\f\\r\\u001c-\\u001f' || case when getdatabaseencoding() = 'UTF8'
		then E'\\u0085\\u00a0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000' else '' end || ']+';
	blank    constant text := '^' || blanks || '|' || blanks || '$';
	mistakes text[];
	created  timestamptz := clock_timestamp();
	written  uuid;
begin
	topic := regexp_replace(topic, blank, '', 'g');
	partition_key := regexp_replace(partition_key, blank, '', 'g');
	event_type := regexp_replace(event_type, blank, '', 'g');
	aggregate_type := regexp_replace(aggregate_type, blank, '', 'g');
	schema_version := regexp_replace(schema_version, blank, '', 'g');
	trace_id := regexp_replace(trace_id, blank, '', 'g');
	correlation_id := regexp_replace(correlation_id, blank, '', 'g');
	causation_id := regexp_replace(causation_id, blank, '', 'g');
	idempotency_key := regexp_replace(idempotency_key, blank, '', 'g');
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
		select 'headers', omnibox.header_mistake(regexp_replace(h.key, blank, '', 'g'), case when jsonb_typeof(h.value) = 'string'
			then to_jsonb(regexp_replace(h.value #>> '{}', blank, '', 'g')) else h.value end)
		from jsonb_each(case when jsonb_typeof(headers) = 'object' then headers end) h
		union all
		select 'headers', case when count(*) > 100 then 'has more than 100 entries'
			when count(distinct lower(regexp_replace(h.key, blank, '', 'g'))) < count(*) then 'has keys that differ only in case or blanks' end
		from jsonb_object_keys(case when jsonb_typeof(headers) = 'object' then headers end) h (key)
	) f
	where f.mistake is not null;

	if mistakes is not null then
		raise exception 'omnibox.enqueue: %', array_to_string(mistakes, '; ') using errcode = 'invalid_parameter_value';
	end if;
	if headers is not null then
		select jsonb_object_agg(regexp_replace(h.key, blank, '', 'g'), regexp_replace(h.value, blank, '', 'g')) into headers from jsonb_each_text(headers) h;
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
