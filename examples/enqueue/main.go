// Command enqueue places two orders. Each is a row of the service's own table and
// an event in the outbox, written in one transaction: both are there, or neither.
// A worker (omnibox worker) relays the event to the topic "orders".
//
//	omnibox migrate up
//	OMNIBOX_DATABASE_URL=postgres://localhost/shop go run ./examples/enqueue
package main

import (
	"context"
	"database/sql"
	"errors"
	"log"
	"os"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/store"
)

// Order is what the service is about.
type Order struct {
	ID    uuid.UUID
	Total string
}

// OrderPlaced is the payload of the event. Amounts are strings: JSON numbers are
// floats to many who read them.
type OrderPlaced struct {
	Total string `json:"total"`
}

var orders = store.Outbox{Table: "outbox_events"}

// placed is the event of an order. Events of one key arrive in order.
func placed(o Order) omnibox.Event {
	return omnibox.Event{
		Topic: "orders", Key: o.ID.String(), Type: "order.placed", SchemaVersion: "2",
		Aggregate: omnibox.Aggregate{Type: "order", ID: o.ID}, Payload: OrderPlaced{Total: o.Total},
		IdempotencyKey: "order.placed/" + o.ID.String(), // a second Enqueue writes nothing
	}
}

// Place writes an order and its event with pgx.
func Place(ctx context.Context, db *pgxpool.Pool, o Order) error {
	return pgx.BeginFunc(ctx, db, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "insert into orders (id, total) values ($1, $2)", o.ID, o.Total); err != nil {
			return err
		}
		_, err := orders.Enqueue(ctx, tx, placed(o))
		return err
	})
}

// PlaceSQL does the same with database/sql, with whatever driver.
func PlaceSQL(ctx context.Context, db *sql.DB, o Order) (err error) {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, tx.Rollback())
		}
	}()
	if _, err := tx.ExecContext(ctx, "insert into orders (id, total) values ($1, $2)", o.ID, o.Total); err != nil {
		return err
	}
	if _, err := orders.EnqueueSQL(ctx, tx, placed(o)); err != nil {
		return err
	}
	return tx.Commit()
}

func main() {
	if err := run(context.Background(), os.Getenv("OMNIBOX_DATABASE_URL")); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, databaseURL string) error {
	pool, err := pgxpool.New(ctx, databaseURL)
	if err != nil {
		return err
	}
	defer pool.Close()
	if _, err := pool.Exec(ctx, "create table if not exists orders (id uuid primary key, total numeric not null)"); err != nil {
		return err
	}
	if err := Place(ctx, pool, Order{ID: uuid.New(), Total: "12.50"}); err != nil {
		return err
	}
	db := stdlib.OpenDBFromPool(pool)
	return errors.Join(PlaceSQL(ctx, db, Order{ID: uuid.New(), Total: "99.00"}), db.Close())
}
