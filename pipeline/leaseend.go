package pipeline

import (
	"context"
	"sync"
	"time"
)

// leaseEnd is when what an owner holds will no longer be covered by its lease, as
// far as it knows. It moves whenever the lease is extended.
type leaseEnd struct {
	mu   sync.Mutex
	at   time.Time
	over *time.Timer // ends what is being done; nil while nothing is
}

func (l *leaseEnd) until() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.at
}

func (l *leaseEnd) set(at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.at = at
	if l.over != nil {
		l.over.Reset(time.Until(at))
	}
}

// under gives a context that ends with the lease, of errLeaseOver, however often
// that is extended meanwhile; for one piece of work at a time, until stop is called.
// It has no Deadline, since whoever asks for one takes it for final.
func (l *leaseEnd) under(ctx context.Context) (_ context.Context, stop context.CancelCauseFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.over = time.AfterFunc(time.Until(l.at), func() {
		if !time.Now().Before(l.until()) { // else it was extended just now, and the timer runs again
			cancel(errLeaseOver)
		}
	})
	return ctx, func(cause error) {
		cancel(cause)
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.over != nil {
			l.over.Stop()
			l.over = nil
		}
	}
}
