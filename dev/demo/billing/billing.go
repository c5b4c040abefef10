// Package billing is the demo's second service. It consumes the shop's orders
// through an inbox, and for each of them it writes an invoice and announces it, in
// the transaction that completes the message. It runs in a process of its own,
// which the demo can kill, and has a database of its own.
package billing

import (
	"context"
	"embed"
	"path"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/inbox"
	"github.com/omnibox-go/omnibox/store"
)

//go:embed sql/*.sql
var files embed.FS

// statement is the text of a file in sql.
func statement(name string) string {
	b, err := files.ReadFile(path.Join("sql", name+".sql"))
	if err != nil {
		panic(err) // a name that is not there is a bug that every run shows
	}
	return string(b)
}

// orderPlaced is what the service needs to know of an order.
type orderPlaced struct {
	Order  uuid.UUID `json:"order"`
	Number int       `json:"number"` // of the customer's orders
	Cents  int       `json:"cents"`
}

// invoiceIssued is what it says.
type invoiceIssued struct {
	orderPlaced
	Invoice int64 `json:"invoice"`
}

// service handles orders.
type service struct {
	outbox store.Outbox
	topic  string // of invoices
}

// routed is what the service gets from the shop, which names itself no further
// than by its topic.
func routed(orders string) inbox.Route {
	return inbox.Route{Source: orders, Type: "order.placed", Version: "1"}
}

func (s *service) router(r inbox.Route) *inbox.Router {
	router := inbox.NewRouter()
	inbox.HandleTx(router, r.Source, r.Type, r.Version, s.issue)
	return router
}

// issue does all that it does through tx. The event names the order's event as its
// cause and carries on its correlation id.
func (s *service) issue(ctx context.Context, tx pgx.Tx, m inbox.Message[orderPlaced]) error {
	id, issued := uuid.New(), invoiceIssued{orderPlaced: m.Payload}
	err := tx.QueryRow(ctx, statement("insert_invoice"), pgx.StrictNamedArgs{
		"id": id, "order_id": m.Payload.Order, "customer": m.Key, "ordinal": m.Payload.Number, "cents": m.Payload.Cents,
	}).Scan(&issued.Invoice)
	if err != nil {
		return err
	}
	_, err = s.outbox.Enqueue(ctx, tx, inbox.Caused(ctx, omnibox.Event{
		Topic: s.topic, Key: m.Key, Type: "invoice.issued", SchemaVersion: "1",
		Aggregate: omnibox.Aggregate{Type: "invoice", ID: id}, Payload: issued,
	}))
	return err
}
