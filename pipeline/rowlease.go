package pipeline

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/omnibox-go/omnibox"
)

// rowLease is the lease of one event while it is being worked on.
type rowLease struct {
	leaseEnd
	cancel context.CancelCauseFunc
	wg     sync.WaitGroup
}

// keepLease extends a lease at a third of it until stop is called. The context
// ends with the lease, of errLeaseOver or ErrLeaseLost.
func (p *Pipeline) keepLease(ctx context.Context, e *omnibox.Event, deadline time.Time) (context.Context, *rowLease) {
	l := &rowLease{}
	l.set(deadline)
	ctx, l.cancel = l.under(ctx)
	at := omnibox.Event{ID: e.ID, CreatedAt: e.CreatedAt, Fence: e.Fence} // a step may change e meanwhile
	l.wg.Go(func() { p.extendUntil(ctx, l, &at) })
	return ctx, l
}

func (l *rowLease) stop() {
	l.cancel(nil)
	l.wg.Wait()
}

func (p *Pipeline) extendUntil(ctx context.Context, l *rowLease, e *omnibox.Event) {
	tick := time.NewTicker(p.Lease / 3)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		deadline, err := p.Lane.Extend(ctx, e)
		switch {
		case errors.Is(err, omnibox.ErrLeaseLost):
			l.cancel(err)
			return
		case err != nil:
			if ctx.Err() == nil { // the lease ends by itself if this goes on
				p.Log.WarnContext(ctx, "extend lease", slog.Any("error", err))
			}
		default:
			l.set(deadline)
		}
	}
}

// carried keeps what steps made of events, between two parts of the work that
// run in the same process. It is a convenience: what is not there is made again.
type carried struct {
	mu     sync.Mutex
	events map[carriedKey]carriedEvent
}

type carriedKey struct {
	id    uuid.UUID
	token int64
	part  int
}

type carriedEvent struct {
	event *omnibox.Event
	read  content // what it said before the steps
	until time.Time
}

// carriedMost bounds the memory: beyond it what has run out is thrown away, and
// if nothing has, the event is not kept.
const carriedMost = 256

// put keeps an event, as it is behind some parts.
func (c *carried) put(turn Turn, part int, v carriedEvent) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.events == nil {
		c.events = map[carriedKey]carriedEvent{}
	}
	now := time.Now()
	for k, v := range c.events {
		if now.After(v.until) {
			delete(c.events, k)
		}
	}
	if len(c.events) < carriedMost {
		c.events[carriedKey{turn.ID, turn.Token, part}] = v
	}
}

// take hands out what was kept, once, while its lease lasts.
func (c *carried) take(turn Turn, part int) (carriedEvent, bool) {
	key := carriedKey{turn.ID, turn.Token, part}
	c.mu.Lock()
	defer c.mu.Unlock()
	v, found := c.events[key]
	delete(c.events, key)
	return v, found && time.Now().Before(v.until)
}
