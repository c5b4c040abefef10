package demo

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"math/rand/v2"
	"path"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/omnibox-go/omnibox"
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

// orderPlaced is the payload of an event.
type orderPlaced struct {
	Order    uuid.UUID `json:"order"`
	Number   int       `json:"number"` // of the customer's orders, from 1 and without gaps
	Cents    int       `json:"cents"`
	Currency string    `json:"currency"`
	PlacedAt time.Time `json:"placed_at"`
}

// shop is the order service.
type shop struct {
	db        *pgxpool.Pool
	outbox    store.Outbox
	topic     string
	customers int
	written   atomic.Int64 // orders whose transaction has committed
}

// purchase is what a customer asks for.
type purchase struct {
	id       uuid.UUID // what its events have in common
	customer string
	currency string
	orders   []uuid.UUID // their ids, in order
}

// maxAttempts is few, for people who wait for an event to be dead.
const maxAttempts = 4

// errDeclined ends a transaction after everything was written.
var errDeclined = errors.New("payment declined")

// buy makes a purchase of one order.
func (s *shop) buy(customer string) purchase {
	return purchase{id: uuid.New(), customer: customer, currency: "EUR", orders: []uuid.UUID{uuid.New()}}
}

func (s *shop) customer(n int) string { return fmt.Sprintf("customer-%02d", n%s.customers+1) }

// place writes orders and their events in one transaction. A declined payment
// comes last, and takes everything back.
func (s *shop) place(ctx context.Context, p purchase, declined bool) error {
	err := pgx.BeginFunc(ctx, s.db, func(tx pgx.Tx) error {
		placed := time.Now()
		last := 0
		numbered := pgx.StrictNamedArgs{"customer": p.customer, "orders": len(p.orders)}
		if err := tx.QueryRow(ctx, statement("take_numbers"), numbered).Scan(&last); err != nil {
			return fmt.Errorf("number orders: %w", err)
		}
		numbers, cents, events := make([]int, len(p.orders)), make([]int, len(p.orders)), make([]omnibox.Event, len(p.orders))
		for i, id := range p.orders {
			numbers[i], cents[i] = last-len(p.orders)+1+i, 100+rand.IntN(20_000)
			events[i] = omnibox.Event{
				ID:    id, // the event of an order is found by its number
				Topic: s.topic, Key: p.customer, Type: "order.placed", SchemaVersion: "1", MaxAttempts: maxAttempts, CorrelationID: p.id.String(),
				Aggregate: omnibox.Aggregate{Type: "order", ID: id},
				Payload:   orderPlaced{Order: id, Number: numbers[i], Cents: cents[i], Currency: p.currency, PlacedAt: placed},
			}
		}
		if _, err := tx.Exec(ctx, statement("insert_orders"), pgx.StrictNamedArgs{
			"customer": p.customer, "currency": p.currency, "placed_at": placed,
			"ids": p.orders, "numbers": numbers, "cents": cents,
		}); err != nil {
			return fmt.Errorf("insert orders: %w", err)
		}
		if _, err := s.outbox.Enqueue(ctx, tx, events...); err != nil {
			return err
		}
		if declined {
			return errDeclined
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("place order: %w", err)
	}
	s.written.Add(int64(len(p.orders)))
	return nil
}

// serve places an order of a random customer every so often, until ctx ends.
func (s *shop) serve(ctx context.Context, every time.Duration) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			if err := s.place(ctx, s.buy(s.customer(rand.IntN(s.customers))), false); err != nil && ctx.Err() == nil {
				return err
			}
		}
	}
}

const (
	burstWriters = 4
	burstEach    = 50 // orders a transaction
)

// burst writes n orders as fast as a few writers can, and returns them.
func (s *shop) burst(ctx context.Context, n int) ([]uuid.UUID, error) {
	var purchases []purchase
	var all []uuid.UUID
	for len(all) < n {
		p := s.buy(s.customer(len(purchases)))
		for len(p.orders) < min(burstEach, n-len(all)) {
			p.orders = append(p.orders, uuid.New())
		}
		purchases, all = append(purchases, p), append(all, p.orders...)
	}
	var wg sync.WaitGroup
	errs := make([]error, burstWriters)
	for w := range burstWriters {
		wg.Go(func() {
			for i := w; i < len(purchases) && errs[w] == nil; i += burstWriters {
				errs[w] = s.place(ctx, purchases[i], false)
			}
		})
	}
	wg.Wait()
	return all, errors.Join(errs...)
}

// attempts is how often the event of an order has failed, and its status.
func (s *shop) attempts(ctx context.Context, order uuid.UUID) (n int, status omnibox.Status, err error) {
	err = s.db.QueryRow(ctx, statement("read_attempts"), pgx.StrictNamedArgs{"id": order}).Scan(&n, &status)
	if err != nil {
		return 0, "", fmt.Errorf("read attempts: %w", err)
	}
	return n, status, nil
}

// ledger is every order that the service has, from its own table.
func (s *shop) ledger(ctx context.Context) ([]order, error) {
	rows, err := s.db.Query(ctx, statement("read_ledger"))
	if err != nil {
		return nil, fmt.Errorf("read ledger: %w", err)
	}
	orders, err := pgx.CollectRows(rows, pgx.RowToStructByPos[order])
	if err != nil {
		return nil, fmt.Errorf("read ledger: %w", err)
	}
	return orders, nil
}
