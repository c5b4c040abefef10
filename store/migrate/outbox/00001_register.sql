-- Makes the table known: its row, the leases of its slots, its wake-up.
insert into omnibox.boxes (table_name, kind, notify) values ({{.KeyText}}, {{.KindText}}, {{.Notify}})
on conflict (table_name) do nothing;

insert into omnibox.slots (table_name, slot)
select {{.KeyText}}, slot from generate_series(0, 63) slot
on conflict (table_name, slot) do nothing;

create or replace trigger {{.Index "notify"}} after insert on {{.Table}}
	referencing new table as inserted
	for each statement execute function omnibox.notify_insert({{.KeyText}});
