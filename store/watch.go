package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/omnibox-go/omnibox"
)

const (
	// quietWindow and quietCount say when a table is busy: 400 notifications a
	// second. NOTIFY takes a lock of the whole server at commit, and at 1,000 a
	// second producers queue up for it; at 400 they do not yet, and whoever
	// polls every few milliseconds misses nothing by their absence.
	quietWindow = 250 * time.Millisecond
	quietCount  = 100
	// quietFor is how long a watcher is quiet then: the second for which
	// watch_quiet.sql silences the trigger, and time for a transaction that has
	// written in that second to commit.
	quietFor = 1200 * time.Millisecond
	// QuietPoll is how often to look for due events while Watcher.Quiet.
	QuietPoll = 5 * time.Millisecond

	// pingEvery is how often a watcher makes sure that it still hears, and
	// pingTimeout how long a notification may take.
	pingEvery   = time.Minute
	pingTimeout = 5 * time.Second

	minReconnect = 100 * time.Millisecond
	maxReconnect = 10 * time.Second
)

// errDeaf says that notifications do not arrive.
var errDeaf = errors.New("notifications do not arrive: is there a pooler in transaction mode?")

// Watcher hears of new events of one table, over one connection of its own, and
// wakes those who wait for them. A wake-up means "look again", no more: some
// come without a reason, and some events come without a wake-up (those that fall
// due later, that were written by a transaction that outlasted a quiet phase, or
// while the watcher did not listen). So whoever waits also looks by itself now
// and then.
type Watcher struct {
	db    *pgxpool.Pool
	table string
	log   *slog.Logger
	stop  context.CancelFunc
	done  chan struct{}

	mu          sync.Mutex
	subscribers map[*Subscription]struct{}
	listening   bool
	quietUntil  time.Time
}

// Watch begins to listen to a table, which may be created later. It never fails:
// while the database cannot be reached, or cannot listen because of a pooler,
// that is logged once and Listening is false. Close it.
func Watch(ctx context.Context, db *pgxpool.Pool, table string, log *slog.Logger) *Watcher {
	ctx, stop := context.WithCancel(ctx)
	w := &Watcher{
		db: db, table: table, log: log.With(slog.String("table", table)), stop: stop,
		done: make(chan struct{}), subscribers: make(map[*Subscription]struct{}),
	}
	go w.run(ctx)
	return w
}

// Close ends the watcher and waits until it has. Those who wait go on waiting,
// for their context.
func (w *Watcher) Close() {
	w.stop()
	<-w.done
}

// Listening says whether wake-ups arrive at present.
func (w *Watcher) Listening() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.listening
}

// Quiet says that so much is written that wake-ups are off: look every QuietPoll.
func (w *Watcher) Quiet() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return time.Now().Before(w.quietUntil)
}

// Subscription is the interest in some slots of a table. One goroutine waits.
type Subscription struct {
	w     *Watcher
	mask  uint64 // slots asked for, a bit each
	awake uint64 // those that were woken since the last Wait; under w.mu
	ready chan struct{}
}

// Subscribe to slots. The first Wait returns at once, with all of them.
func (w *Watcher) Subscribe(slots []int) *Subscription {
	s := &Subscription{w: w, ready: make(chan struct{}, 1)}
	for _, slot := range slots {
		s.mask |= 1 << slot
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.subscribers[s] = struct{}{}
	s.wake(s.mask)
	return s
}

// Close ends the subscription.
func (s *Subscription) Close() {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	delete(s.w.subscribers, s)
}

// Wait blocks until there is a reason to look at slots, and returns them. A
// wake-up that came since the last Wait is not lost. The error is ctx's cause.
func (s *Subscription) Wait(ctx context.Context) ([]int, error) {
	for {
		if awake := s.take(); awake != 0 {
			return slotsOf(awake), nil
		}
		select {
		case <-s.ready:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

func (s *Subscription) take() uint64 {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	awake := s.awake
	s.awake = 0
	return awake
}

// wake marks slots; the caller holds w.mu. It never blocks: one token in ready
// stands for any number of wake-ups.
func (s *Subscription) wake(slots uint64) {
	if slots&s.mask == 0 {
		return
	}
	s.awake |= slots & s.mask
	select {
	case s.ready <- struct{}{}:
	default:
	}
}

func slotsOf(mask uint64) []int {
	var slots []int
	for slot := range omnibox.Slots {
		if mask&(1<<slot) != 0 {
			slots = append(slots, slot)
		}
	}
	return slots
}

// Wake wakes those who wait for slots, for a reason that is not a notification:
// a scan has found something due.
func (w *Watcher) Wake(slots []int) {
	var mask uint64
	for _, slot := range slots {
		mask |= 1 << slot
	}
	w.wake(mask)
}

const allSlots = ^uint64(0)

func (w *Watcher) wake(slots uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for s := range w.subscribers {
		s.wake(slots)
	}
}

// run listens, again and again.
func (w *Watcher) run(ctx context.Context) {
	defer close(w.done)
	wait := minReconnect
	warned := false
	for {
		err := w.listen(ctx)
		if ctx.Err() != nil {
			return
		}
		if w.setListening(false) {
			wait, warned = minReconnect, false
		}
		if !warned {
			w.log.WarnContext(ctx, "no wake-ups for new events, polling instead", slog.Any("error", err))
			warned = true
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
			wait = min(2*wait, maxReconnect)
		}
	}
}

// setListening returns what it was before.
func (w *Watcher) setListening(now bool) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	before := w.listening
	w.listening = now
	return before
}

// connect opens the connection, in the way of the pool but not one of its.
func (w *Watcher) connect(ctx context.Context) (*pgx.Conn, error) {
	cfg := w.db.Config()
	if cfg.BeforeConnect != nil { // may fetch a password that expires
		if err := cfg.BeforeConnect(ctx, cfg.ConnConfig); err != nil {
			return nil, fmt.Errorf("connect: %w", err)
		}
	}
	conn, err := pgx.ConnectConfig(ctx, cfg.ConnConfig)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	return conn, nil
}

// listen hears notifications until the connection breaks.
func (w *Watcher) listen(ctx context.Context) error {
	conn, err := w.connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // it may be broken already
	l := listener{w: w, conn: conn}
	if err := l.begin(ctx); err != nil {
		return err
	}
	for {
		if err := l.next(ctx); err != nil {
			return err
		}
	}
}
