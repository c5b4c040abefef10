-- Gives a customer's next @orders orders their numbers; returns the last one.
-- Locks: the customer's row until the transaction ends, so that transactions
-- of one customer come one after the other and their events have an order.
-- Index: primary key of customers.
insert into customers (name, orders) values (@customer, @orders)
on conflict (name) do update set orders = customers.orders + excluded.orders
returning orders
