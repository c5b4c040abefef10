-- What the handler of omnibox.yaml is. It is run for each message, and takes effect
-- with the completion of the message or not at all: so each order has one invoice,
-- however often the message comes.

create schema billing;

create table billing.invoices (
	order_id   text primary key,
	total      numeric not null check (total > 0),
	message_id text not null
);

-- Everything that is known of the message is in event; payload is null if it is not
-- JSON. What the function returns does not matter. To skip a message it does nothing.
create function billing.apply(event jsonb) returns void
	language plpgsql as $$
begin
	if event ->> 'type' <> 'order.placed' then
		return;
	end if;
	if not (event -> 'payload' ? 'total') then
		raise exception 'the order has no total'; -- P0001
	end if;
	insert into billing.invoices (order_id, total, message_id)
	values (event ->> 'key', (event -> 'payload' ->> 'total')::numeric, event ->> 'message_id');
end $$;
