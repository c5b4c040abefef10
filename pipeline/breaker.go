package pipeline

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// Breaker keeps a pipeline off a destination that cannot be reached. It is
// shared by everything in the process that uses the destination: while it is
// open nobody sends, and one caller at a time probes. It stays open until a
// probe succeeds.
type Breaker struct {
	name  string
	probe func(context.Context) error
	log   *slog.Logger

	mu     sync.Mutex
	closed chan struct{} // nil while closed; closed when the breaker closes
	since  time.Time
	turn   chan struct{} // holds one token: the right to probe
}

// Delays between probes: fast enough to lose no time after a restart, slow
// enough not to hammer a destination that is down for long.
const (
	probeFirst   = 500 * time.Millisecond
	probeMax     = 5 * time.Second
	probeTimeout = 5 * time.Second
)

// NewBreaker makes a closed breaker for the destination called name.
func NewBreaker(name string, probe func(context.Context) error, log *slog.Logger) *Breaker {
	b := &Breaker{name: name, probe: probe, log: log, turn: make(chan struct{}, 1)}
	b.turn <- struct{}{}
	return b
}

// Open says whether the destination counts as down, and since when.
func (b *Breaker) Open() (time.Time, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.since, b.closed != nil
}

// Trip opens the breaker.
func (b *Breaker) Trip(cause string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed != nil {
		return
	}
	b.closed, b.since = make(chan struct{}), time.Now()
	b.log.Warn("destination unreachable, waiting for it", slog.String("destination", b.name), slog.String("cause", cause))
}

// doubt opens the breaker unless the destination answers a probe, and tells
// whether it does.
func (b *Breaker) doubt(ctx context.Context, cause string) bool {
	if b.try(ctx) == nil {
		return true
	}
	if ctx.Err() == nil { // else nobody knows
		b.Trip(cause)
	}
	return false
}

// Await blocks until the breaker is closed, or returns ctx's cause.
func (b *Breaker) Await(ctx context.Context) error {
	b.mu.Lock()
	closed := b.closed
	b.mu.Unlock()
	if closed == nil {
		return nil
	}
	select {
	case <-closed:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-b.turn:
	}
	defer func() { b.turn <- struct{}{} }()
	return b.probeUntilUp(ctx, closed)
}

func (b *Breaker) probeUntilUp(ctx context.Context, closed <-chan struct{}) error {
	for delay := probeFirst; ; delay = min(2*delay, probeMax) {
		select {
		case <-closed: // whoever had the turn before saw it up
			return nil
		default:
		}
		err := b.try(ctx)
		if err == nil {
			b.reset()
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		b.log.InfoContext(ctx, "destination still unreachable", slog.String("destination", b.name), slog.Any("error", err), slog.Duration("next_probe", delay))
		timer := time.NewTimer(delay)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return context.Cause(ctx)
		}
	}
}

// answers reports whether the destination can be used: at once while the
// breaker is closed, else after a probe.
func (b *Breaker) answers(ctx context.Context) bool {
	ctx, cancel := context.WithTimeoutCause(ctx, probeTimeout, context.DeadlineExceeded)
	defer cancel()
	return b.Await(ctx) == nil
}

func (b *Breaker) try(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, probeTimeout, context.DeadlineExceeded)
	defer cancel()
	return b.probe(ctx)
}

func (b *Breaker) reset() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.log.Info("destination reachable again", slog.String("destination", b.name), slog.Duration("after", time.Since(b.since)))
	close(b.closed)
	b.closed = nil
}
