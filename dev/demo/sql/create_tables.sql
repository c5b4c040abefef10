-- The service's own tables. omnibox has its own migrations.
-- Locks: none that anybody waits for; the database is new.
-- Index: none.
create table customers (
	name   text primary key,
	orders int not null
);
create table orders (
	id        uuid primary key,
	customer  text not null references customers,
	number    int not null,
	cents     int not null,
	currency  text not null,
	placed_at timestamptz not null,
	unique (customer, number)
)
