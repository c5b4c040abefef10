-- What bounds the workflows of events.

-- the budget of a pipeline: a bucket that fills up as time goes by
alter table omnibox.pipelines
	add column workflow_tokens    double precision, -- null: full
	add column workflow_tokens_at timestamptz;

-- until when a workflow waits for what a person decides of a dead event
alter table omnibox.dead_letters
	add column parked_until timestamptz;
create index dead_letters_parked on omnibox.dead_letters (table_name, parked_until)
	where state = 'open' and parked_until is not null;
