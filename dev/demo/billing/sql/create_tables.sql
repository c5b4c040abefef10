-- The service's own table. omnibox has its own migrations. Nothing in it keeps an
-- order from having two invoices: that is left to the inbox.
-- Locks: none that anybody waits for; the database is new.
-- Index: none but the primary key.
create table invoices (
	id         uuid primary key,
	number     bigserial, -- in the order of writing; a run that is rolled back leaves a gap
	order_id   uuid not null,
	customer   text not null,
	ordinal    int not null, -- of the order among the customer's
	cents      int not null,
	written_at timestamptz not null default clock_timestamp()
)
