// Package billing is a service that consumes, changes and produces: for each order
// that is placed it writes an invoice and announces it, both in the transaction
// that completes the message. So each order has one invoice and one announcement,
// whatever fails and however often the message comes.
//
// A worker runs its handlers for an inbox, and relays what they announce:
//
//	routes, err := billing.Handlers().Build(billing.Routed...)
package billing

import (
	"context"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/inbox"
	"github.com/omnibox-go/omnibox/store"
)

// Schema is the service's own.
const Schema = `create table if not exists invoices (id uuid primary key, order_id text not null unique, total numeric not null)`

// OrderPlaced is what the service "orders" says, in version 2. Amounts are strings:
// JSON numbers are floats to many who read them.
type OrderPlaced struct {
	Total string `json:"total"`
}

// OrderPlacedV1 is what it used to say.
type OrderPlacedV1 struct {
	Sum string `json:"sum"`
}

// InvoiceSent is what this service says.
type InvoiceSent struct {
	OrderID string `json:"order_id"`
	Total   string `json:"total"`
}

// Routed is what the service gets.
var Routed = []inbox.Route{
	{Source: "orders", Type: "order.placed", Version: "1"},
	{Source: "orders", Type: "order.placed", Version: "2"},
}

var outbox = store.Outbox{Table: "outbox_events"}

// Handlers of the messages that the service gets. Versions that are still about are
// brought to the one that the handler knows.
func Handlers() *inbox.Router {
	r := inbox.NewRouter()
	inbox.HandleTx(r, "orders", "order.placed", "2", sendInvoice)
	inbox.Upcast(r, "order.placed", "1", "2", func(v1 OrderPlacedV1) (OrderPlaced, error) {
		return OrderPlaced{Total: v1.Sum}, nil
	})
	return r
}

// sendInvoice writes to the database through tx alone: what it does elsewhere, such
// as over HTTP, would happen again when the message does. The event carries on the
// correlation id of the message, and names it as its cause.
func sendInvoice(ctx context.Context, tx pgx.Tx, m inbox.Message[OrderPlaced]) error {
	if m.Payload.Total == "0" {
		return omnibox.Skip("nothing to pay")
	}
	id := uuid.New()
	if _, err := tx.Exec(ctx, "insert into invoices (id, order_id, total) values ($1, $2, $3)", id, m.Key, m.Payload.Total); err != nil {
		return err
	}
	_, err := outbox.Enqueue(ctx, tx, inbox.Caused(ctx, omnibox.Event{
		Topic: "invoices", Key: m.Key, Type: "invoice.sent", SchemaVersion: "1",
		Aggregate: omnibox.Aggregate{Type: "invoice", ID: id}, Payload: InvoiceSent{OrderID: m.Key, Total: m.Payload.Total},
	}))
	return err
}
