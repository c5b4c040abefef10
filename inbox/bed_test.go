package inbox_test

import (
	"context"
	"encoding/json"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/dev/devtest"
	"github.com/omnibox-go/omnibox/inbox"
)

// placed is what the messages of these tests say.
type placed struct {
	N int `json:"n"`
}

// bed is a database with a small inbox, and a table in which handlers write.
type bed struct {
	db     *pgxpool.Pool
	router *inbox.Router
	cfg    inbox.Config
	before func(ctx context.Context, tx pgx.Tx) error // of each completion, once the rows are locked
	calls  atomic.Int32                               // of Complete
}

func newBed(t *testing.T) *bed {
	t.Helper()
	db, err := pgxpool.New(t.Context(), devtest.Database(t))
	require.NoError(t, err)
	t.Cleanup(db.Close)
	_, err = db.Exec(t.Context(), `create table box (id uuid primary key, done bool not null default false, lost bool not null default false);
		create table effects (seq bigserial, key text not null, n int not null check (n < 1000), unique (key, n))`)
	require.NoError(t, err)
	return &bed{db: db, router: inbox.NewRouter()}
}

// Complete is as a store does it.
func (b *bed) Complete(ctx context.Context, events []*omnibox.Event, work func(context.Context, pgx.Tx, []*omnibox.Event) error) error {
	b.calls.Add(1)
	return pgx.BeginFunc(ctx, b.db, func(tx pgx.Tx) error {
		var live []*omnibox.Event
		for _, e := range events {
			var done, lost bool
			if err := tx.QueryRow(ctx, "select done, lost from box where id = $1 for update", e.ID).Scan(&done, &lost); err != nil {
				return err
			}
			if lost {
				return omnibox.ErrLeaseLost
			}
			if done {
				continue
			}
			live = append(live, e)
			if _, err := tx.Exec(ctx, "update box set done = true where id = $1", e.ID); err != nil {
				return err
			}
		}
		if len(live) == 0 {
			return nil
		}
		if b.before != nil {
			if err := b.before(ctx, tx); err != nil {
				return err
			}
		}
		return work(ctx, tx, live)
	})
}

// land writes events 1 to last of each key, one key after the other for each
// number.
func (b *bed) land(t *testing.T, last int, keys ...string) (events []*omnibox.Event) {
	t.Helper()
	for n := 1; n <= last; n++ {
		for _, key := range keys {
			e := event(key, n)
			_, err := b.db.Exec(t.Context(), "insert into box (id) values ($1)", e.ID)
			require.NoError(t, err)
			events = append(events, e)
		}
	}
	return events
}

// event is number n of a key.
func event(key string, n int) *omnibox.Event {
	return &omnibox.Event{
		ID: uuid.New(), Topic: "shop", Key: key, Type: "order.placed", SchemaVersion: "1", MaxAttempts: 6,
		Payload: json.RawMessage(fmt.Sprintf(`{"n": %d}`, n)),
		Origin:  &omnibox.Origin{MessageID: fmt.Sprintf("%s-%d", key, n), Source: "orders"},
	}
}

func (b *bed) applier(t *testing.T) *inbox.Applier {
	t.Helper()
	routes, err := b.router.Build()
	require.NoError(t, err)
	return b.applying(t, routes)
}

func (b *bed) applying(t *testing.T, f inbox.Finder) *inbox.Applier {
	t.Helper()
	a, err := inbox.NewApplier(f, b, b.cfg)
	require.NoError(t, err)
	return a
}

func (b *bed) handle(t *testing.T, events []*omnibox.Event) []error {
	t.Helper()
	return b.applier(t).Handle(t.Context(), events)
}

// write is what most handlers do.
func write(ctx context.Context, tx pgx.Tx, m inbox.Message[placed]) error {
	_, err := tx.Exec(ctx, "insert into effects (key, n) values ($1, $2)", m.Key, m.Payload.N)
	return err
}

// on registers a handler in a transaction, which writes first.
func (b *bed) on(then func(ctx context.Context, tx pgx.Tx, m inbox.Message[placed]) error) {
	inbox.HandleTx(b.router, "orders", "order.placed", "1", func(ctx context.Context, tx pgx.Tx, m inbox.Message[placed]) error {
		if err := write(ctx, tx, m); err != nil {
			return err
		}
		return then(ctx, tx, m)
	})
}

// onUncut is on for handlers with little time, which begins to be short only once
// they have written.
func (b *bed) onUncut(then func(ctx context.Context, tx pgx.Tx, m inbox.Message[placed]) error) {
	inbox.HandleTx(b.router, "orders", "order.placed", "1", func(ctx context.Context, tx pgx.Tx, m inbox.Message[placed]) error {
		if err := write(context.WithoutCancel(ctx), tx, m); err != nil {
			return err
		}
		return then(ctx, tx, m)
	})
}

func succeed(context.Context, pgx.Tx, inbox.Message[placed]) error { return nil }

// effects are the numbers of a key that were written, in their order.
func (b *bed) effects(t *testing.T, key string) []int {
	t.Helper()
	rows, err := b.db.Query(t.Context(), "select n from effects where key = $1 order by seq", key)
	require.NoError(t, err)
	got, err := pgx.CollectRows(rows, pgx.RowTo[int])
	require.NoError(t, err)
	return got
}

// done tells which of events are completed.
func (b *bed) done(t *testing.T, events []*omnibox.Event) (done []bool) {
	t.Helper()
	for _, e := range events {
		var is bool
		require.NoError(t, b.db.QueryRow(t.Context(), "select done from box where id = $1", e.ID).Scan(&is))
		done = append(done, is)
	}
	return done
}

// free waits until nobody has locked the row of an event, and no connection of the
// pool is in use.
func (b *bed) free(t *testing.T, e *omnibox.Event) {
	t.Helper()
	require.Eventually(t, func() bool {
		err := pgx.BeginFunc(t.Context(), b.db, func(tx pgx.Tx) error {
			var id uuid.UUID
			return tx.QueryRow(t.Context(), "select id from box where id = $1 for update nowait", e.ID).Scan(&id)
		})
		return err == nil && b.db.Stat().AcquiredConns() == 0
	}, time.Minute, 5*time.Millisecond)
}

func upTo(n int) []int {
	all := make([]int, n)
	for i := range all {
		all[i] = i + 1
	}
	return all
}
