-- Writes the invoice of an order.
-- Locks: the new row.
-- Index: none.
insert into invoices (id, order_id, customer, ordinal, cents)
values (@id, @order_id, @customer, @ordinal, @cents)
returning number
