package memstore

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/omnibox-go/omnibox"
)

// Work is what happens together with the completion of events.
type Work = func(ctx context.Context, tx pgx.Tx, events []*omnibox.Event) error

// Complete completes events and does work, or neither; see store.Store.Complete.
// There is no transaction: work gets nil, and what it did is not undone when it
// fails.
func (s *Store) Complete(ctx context.Context, events []*omnibox.Event, work Work) error {
	return s.completeWith(ctx, events, work, func(e *omnibox.Event) bool { return s.table.isLive(e.Fence) })
}

// Complete is Store.Complete for events under their own leases.
func (l *Lane) Complete(ctx context.Context, events []*omnibox.Event, work Work) error {
	return l.completeWith(ctx, events, work, func(e *omnibox.Event) bool { return l.table.leased(e.Ref(), e.Fence) != nil })
}

func (s *Store) completeWith(ctx context.Context, events []*omnibox.Event, work Work, isLive func(*omnibox.Event) bool) error {
	t := s.table
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.awaitRows(ctx, events); err != nil {
		return err
	}
	var live []*omnibox.Event
	for _, e := range events {
		r := t.find(e.ID)
		switch {
		case r == nil || r.Status != omnibox.StatusPending && !t.broken.handlesFinal:
		case !isLive(e) && !t.broken.handlesStale:
			return fmt.Errorf("complete event %s: %w", e.ID, omnibox.ErrLeaseLost)
		default:
			live = append(live, e)
		}
	}
	if len(live) == 0 {
		return nil
	}
	defer t.lockRows(live)()
	if err := t.unlocked(func() error { return work(ctx, nil, live) }); err != nil && !t.broken.completesFailed {
		return err
	}
	for _, e := range live {
		if r := t.find(e.ID); r != nil && !t.broken.forgetsComplete {
			r.LeaseUntil = time.Time{}
			s.complete(r)
		}
	}
	return nil
}

// lockRows keeps others from settling events until unlock is called.
func (t *Table) lockRows(events []*omnibox.Event) (unlock func()) {
	if t.broken.locksNoRows {
		return func() {}
	}
	done := make(chan struct{})
	for _, e := range events {
		t.locked[e.ID] = done
	}
	return func() {
		for _, e := range events {
			delete(t.locked, e.ID)
		}
		close(done)
	}
}

// awaitRows waits until none of events is locked.
func (t *Table) awaitRows(ctx context.Context, events []*omnibox.Event) error {
	for {
		i := slices.IndexFunc(events, func(e *omnibox.Event) bool { return t.locked[e.ID] != nil })
		if i < 0 {
			return ctx.Err()
		}
		done := t.locked[events[i].ID]
		t.waiting++
		err := t.unlocked(func() error {
			select {
			case <-done:
				return nil
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		})
		t.waiting--
		if err != nil {
			return err
		}
	}
}

// unlocked runs do while others may use the table.
func (t *Table) unlocked(do func() error) error {
	t.mu.Unlock()
	defer t.mu.Lock()
	return do()
}
