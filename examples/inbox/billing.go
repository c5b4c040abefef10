package main

import (
	"context"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/inbox"
	"github.com/omnibox-go/omnibox/store"
)

// schema is the service's own.
const schema = `create table if not exists invoices (id uuid primary key, order_id text not null unique, total numeric not null)`

// orderPlaced is what the service "orders" says, in version 2. Amounts are strings:
// JSON numbers are floats to many who read them.
type orderPlaced struct {
	Total string `json:"total"`
}

// orderPlacedV1 is what it used to say.
type orderPlacedV1 struct {
	Sum string `json:"sum"`
}

// invoiceSent is what this service says.
type invoiceSent struct {
	OrderID string `json:"order_id"`
	Total   string `json:"total"`
}

// routed is what the service gets.
var routed = []inbox.Route{
	{Source: "orders", Type: "order.placed", Version: "1"},
	{Source: "orders", Type: "order.placed", Version: "2"},
}

var outbox = store.Outbox{Table: "outbox_events"}

// handlers of the messages that the service gets. Versions that are still about are
// brought to the one that the handler knows.
func handlers() *inbox.Router {
	r := inbox.NewRouter()
	inbox.HandleTx(r, "orders", "order.placed", "2", sendInvoice)
	inbox.Upcast(r, "order.placed", "1", "2", func(v1 orderPlacedV1) (orderPlaced, error) {
		return orderPlaced{Total: v1.Sum}, nil
	})
	return r
}

// sendInvoice writes to the database through tx alone: what it does elsewhere, such
// as over HTTP, would happen again when the message does. The event carries on the
// correlation id of the message, and names it as its cause.
func sendInvoice(ctx context.Context, tx pgx.Tx, m inbox.Message[orderPlaced]) error {
	if m.Payload.Total == "0" {
		return omnibox.Skip("nothing to pay")
	}
	id := uuid.New()
	if _, err := tx.Exec(ctx, "insert into invoices (id, order_id, total) values ($1, $2, $3)", id, m.Key, m.Payload.Total); err != nil {
		return err
	}
	_, err := outbox.Enqueue(ctx, tx, inbox.Caused(ctx, omnibox.Event{
		Topic: "invoices", Key: m.Key, Type: "invoice.sent", SchemaVersion: "1",
		Aggregate: omnibox.Aggregate{Type: "invoice", ID: id}, Payload: invoiceSent{OrderID: m.Key, Total: m.Payload.Total},
	}))
	return err
}
