package inbox_test

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/inbox"
	"github.com/omnibox-go/omnibox/store"
)

// OrderPlacedV1 is what the service "orders" used to send.
type OrderPlacedV1 struct {
	Sum string `json:"sum"`
}

// OrderPlaced is version 2.
type OrderPlaced struct {
	Total string `json:"total"`
}

// InvoiceSent is what this service sends.
type InvoiceSent struct {
	Total string `json:"total"`
}

var outbox = store.Outbox{}

// invoice writes a row of its own and an event, both exactly once, in the
// transaction that completes the message.
func invoice(ctx context.Context, tx pgx.Tx, m inbox.Message[OrderPlaced]) error {
	if m.Headers["test"] == "true" {
		return omnibox.Skip("a test order")
	}
	id := uuid.New()
	if _, err := tx.Exec(ctx, "insert into invoices (id, order_id, total) values ($1, $2, $3)", id, m.Key, m.Payload.Total); err != nil {
		return err
	}
	_, err := outbox.Enqueue(ctx, tx, inbox.Caused(ctx, omnibox.Event{
		Topic: "invoices", Key: m.Key, Type: "invoice.sent", SchemaVersion: "1",
		Aggregate: omnibox.Aggregate{Type: "invoice", ID: id}, Payload: InvoiceSent{Total: m.Payload.Total},
	}))
	return err
}

// A service that sends an invoice for each order, and knows both versions of
// what an order looks like.
func Example() {
	r := inbox.NewRouter()
	inbox.HandleTx(r, "orders", "order.placed", "2", invoice)
	inbox.Upcast(r, "order.placed", "1", "2", func(v1 OrderPlacedV1) (OrderPlaced, error) {
		return OrderPlaced{Total: v1.Sum}, nil
	})

	// A worker does the same at its start.
	_, err := r.Build(inbox.Route{Source: "orders", Type: "order.placed", Version: "1"})
	fmt.Println(err)
	_, err = r.Build(inbox.Route{Source: "orders", Type: "order.cancelled"})
	fmt.Println(err)
	// Output:
	// <nil>
	// router: routed here: no handler for source "orders", type "order.cancelled", version "": the type has none at all
}
