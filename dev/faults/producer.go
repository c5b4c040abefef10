package faults

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/store"
)

// Producer enqueues events as a service would that loses its database now and
// then: it tries a transaction again until it knows that it was committed, under
// the same idempotency keys.
type Producer struct {
	// URL of the database.
	URL    string
	Outbox store.Outbox
	Topic  string
	// Rate is events a second in all; what an outage delays is made up for.
	Rate int
	// Keys is how many keys there are, and Writers how many share them. A key
	// has one writer, so that its transactions do not overlap.
	Keys, Writers int
	// Seed of what is written.
	Seed   uint64
	ledger *Ledger
}

// Body is the payload of an event.
type Body struct {
	N int `json:"n"`
}

const (
	tryTimeout = 5 * time.Second
	tryPause   = 100 * time.Millisecond
	// rollbackOneIn transactions is rolled back on purpose.
	rollbackOneIn = 40
)

// errOnPurpose rolls a transaction back.
var errOnPurpose = errors.New("rolled back on purpose")

// Run produces until ctx ends, and then finishes the transactions under way: it
// leaves nothing of which it does not know whether it was committed.
func (p *Producer) Run(ctx context.Context, l *Ledger) error {
	p.ledger = l
	cfg, err := pgxpool.ParseConfig(p.URL)
	if err != nil {
		return err
	}
	cfg.MaxConns = int32(p.Writers)
	cfg.ConnConfig.RuntimeParams["application_name"] = "producer"
	cfg.ConnConfig.ConnectTimeout = tryTimeout
	db, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return err
	}
	defer db.Close()
	errs := make([]error, p.Writers)
	var wg sync.WaitGroup
	for i := range p.Writers {
		w := &writer{Producer: p, db: db, random: rand.New(rand.NewPCG(p.Seed, uint64(i))), last: map[string]int{}}
		for k := i; k < p.Keys; k += p.Writers {
			w.keys = append(w.keys, keyName(k))
		}
		wg.Go(func() { errs[i] = w.run(ctx) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// writer is the only one who writes its keys.
type writer struct {
	*Producer
	db     *pgxpool.Pool
	random *rand.Rand
	keys   []string
	last   map[string]int // N of the latest event, by key
}

func (w *writer) run(ctx context.Context) error {
	each := time.Duration(float64(time.Second) * float64(w.Writers) / float64(w.Rate))
	due := time.Now()
	for ctx.Err() == nil {
		events := w.next()
		if w.random.IntN(rollbackOneIn) == 0 {
			w.rollBack(ctx, events)
			continue
		}
		if err := w.commit(context.WithoutCancel(ctx), events); err != nil {
			return err
		}
		due = due.Add(time.Duration(len(events)) * each)
		pause(ctx, time.Until(due))
	}
	return nil
}

// next makes the events of a transaction: one to four, of one key or several.
func (w *writer) next() []omnibox.Event {
	events := make([]omnibox.Event, 1+w.random.IntN(4))
	inCall := map[string]int{}
	for i := range events {
		key := w.keys[w.random.IntN(len(w.keys))]
		inCall[key]++
		n := w.last[key] + inCall[key]
		events[i] = omnibox.Event{
			Topic: w.Topic, Key: key, Type: "order.placed", Payload: Body{N: n},
			Aggregate:      omnibox.Aggregate{Type: "order", ID: uuid.New()},
			IdempotencyKey: fmt.Sprintf("%s/%d", key, n),
		}
	}
	return events
}

// commit tries until the events are committed for certain.
//
//  1. COMMIT is sent and the connection breaks
//  2. the server commits all the same
//  3. the transaction is tried again: its idempotency keys find the rows of the first
func (w *writer) commit(ctx context.Context, events []omnibox.Event) error {
	for {
		done, err := w.try(ctx, events, nil)
		if err == nil {
			return w.enter(events, done)
		}
		if _, mistake := errors.AsType[*omnibox.ValidationError](err); mistake {
			return err
		}
		pause(ctx, tryPause)
	}
}

func (w *writer) try(ctx context.Context, events []omnibox.Event, end error) (done store.Enqueued, err error) {
	ctx, cancel := context.WithTimeout(ctx, tryTimeout)
	defer cancel()
	err = pgx.BeginFunc(ctx, w.db, func(tx pgx.Tx) error {
		if done, err = w.Outbox.Enqueue(ctx, tx, events...); err != nil {
			return err
		}
		return end
	})
	return done, err
}

func (w *writer) enter(events []omnibox.Event, done store.Enqueued) error {
	now := time.Now()
	entries := make([]Entry, len(events))
	for i, e := range done.Events {
		if e.Duplicate != done.Events[0].Duplicate {
			return fmt.Errorf("half of a transaction was committed: %+v", done.Events)
		}
		w.last[events[i].Key]++
		entries[i] = Entry{ID: e.ID, Key: events[i].Key, N: w.last[events[i].Key], Seq: e.Seq, At: now}
	}
	w.ledger.Commit(entries...)
	return nil
}

// rollBack writes events and takes them back. Without their idempotency keys: a
// transaction that holds one would be waited for by whoever writes it next.
func (w *writer) rollBack(ctx context.Context, events []omnibox.Event) {
	ids := make([]uuid.UUID, len(events))
	for i := range events {
		ids[i] = uuid.New()
		events[i].ID, events[i].IdempotencyKey = ids[i], ""
	}
	w.ledger.RollBack(ids...)
	_, _ = w.try(ctx, events, errOnPurpose) // that it fails is the point
}

func keyName(k int) string { return fmt.Sprintf("key-%03d", k) }

func pause(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
