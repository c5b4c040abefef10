-- A message that another program lands has its place, too. What we land costs
-- nothing here but the test.
create or replace trigger {{.Index "order"}} before insert on {{.Table}}
	for each row when (new.topic is null or new.partition_key is null)
	execute function omnibox.order_message();
