package bench

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/dev/bench/lab"
	"github.com/omnibox-go/omnibox/store"
)

// enqueues are a producer's transactions: a row of its own, and events.
func enqueues() []Variant {
	const bare = "transaction"
	variants := []Variant{{Name: bare, Title: "transaction with one business row", run: runEnqueue(0)}}
	for _, n := range []int{1, 10, 100, 1000} {
		variants = append(variants, Variant{
			Name: fmt.Sprintf("enqueue-%d", n), Title: fmt.Sprintf("the same with %d events", n), Against: bare, run: runEnqueue(n),
		})
	}
	return variants
}

// runEnqueue measures transactions with n events, one after the other.
func runEnqueue(n int) func(context.Context, Setup) (Sample, error) {
	return func(ctx context.Context, s Setup) (_ Sample, err error) {
		b, err := s.Lab.Box(ctx)
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, b.Close(ctx)) }()
		if _, err := b.DB.Exec(ctx, "create table orders (id uuid primary key, total integer not null)"); err != nil {
			return nil, err
		}
		transactions := max(s.Transactions/max(n/10, 1), 1)
		if _, err := produce(ctx, b.DB, b, n, 5); err != nil { // statements get prepared
			return nil, err
		}
		before := s.Lab.Usage()
		took, err := produce(ctx, b.DB, b, n, transactions)
		if err != nil {
			return nil, err
		}
		sample := Sample{Micros: float64(took.Microseconds()) / float64(transactions)}
		if n > 0 {
			sample.cost(s.Lab.Usage().Since(before), n*transactions)
		}
		return sample, nil
	}
}

// produce runs transactions with a business row and n events each.
func produce(ctx context.Context, db *pgxpool.Pool, b *lab.Box, n, transactions int) (time.Duration, error) {
	start := time.Now()
	for range transactions {
		events := make([]omnibox.Event, n)
		for i := range events {
			events[i] = order(b.Topic, i)
		}
		err := pgx.BeginFunc(ctx, db, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, "insert into orders (id, total) values ($1, $2)", uuid.New(), n); err != nil {
				return err
			}
			if n == 0 {
				return nil
			}
			_, err := store.Outbox{}.Enqueue(ctx, tx, events...)
			return err
		})
		if err != nil {
			return 0, err
		}
	}
	return time.Since(start), nil
}

// padding fills a payload up to the size of those in a box.
var padding = strings.Repeat("x", lab.PayloadBytes-len(`{"pad": "", "n": 1000}`))

// order is an event like those of a box.
func order(topic string, n int) omnibox.Event {
	return omnibox.Event{
		Topic: topic, Key: fmt.Sprintf("key-%d", n%lab.Keys), Type: "order.placed",
		Aggregate: omnibox.Aggregate{Type: "order", ID: uuid.New()},
		Payload:   map[string]any{"pad": padding, "n": n},
	}
}
