package inbox

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/omnibox-go/omnibox"
)

// Finder gives the call that handles a message. Routes are one, and so is what
// SQL gives. It is safe for concurrent use.
type Finder interface {
	Find(stored *Stored) (Call, error)
}

// Completer completes messages in one transaction with what work does.
type Completer interface {
	// Complete begins a transaction, locks the rows of those events that are still
	// pending and under a live lease of ours, and completes them; calls work with
	// these events, not at all if there are none; and commits if work returns nil.
	// Else everything is rolled back, and it returns work's error. If any lease is
	// lost, nothing happens, and the error is omnibox.ErrLeaseLost.
	//
	// When work returns, the connection of its transaction may be closed, if a
	// handler still uses it that never returns.
	Complete(ctx context.Context, events []*omnibox.Event, work func(ctx context.Context, tx pgx.Tx, events []*omnibox.Event) error) error
}

// Config of an Applier. Zero values take the defaults.
type Config struct {
	// Concurrency is how many handlers run at once, whatever the number of calls
	// of Handle. Each in a transaction takes a connection to the database.
	// Defaults to DefaultConcurrency.
	Concurrency int
	// Timeout of one run of a handler, and of reading its message: then its
	// context ends, and soon after that it is given up. Defaults to DefaultTimeout.
	Timeout time.Duration
	// Batch is how many messages a batch handler gets at once at most. Defaults to
	// DefaultBatch.
	Batch int
	// Classes of what the database refuses, by SQLSTATE: of a code such as "23505",
	// or of all that begin with two characters such as "23". The longer one counts
	// of two that fit. They add to the defaults, which are, for every handler,
	// unreachable for what says that the database is down, and transient for
	// conflicts of transactions (40001, 40P01, 55P03); and for SQL alone permanent
	// for bad data (22), constraints (23, 44), and what does not exist or is not
	// allowed (42). They do not apply to errors that a handler has marked itself.
	Classes map[string]omnibox.Class
	// Probe returns nil if the database can be reached. Defaults to taking it for
	// granted.
	Probe func(context.Context) error
	// Log receives panics and handlers that never return. Defaults to none.
	Log *slog.Logger
}

// Defaults of a Config.
const (
	DefaultConcurrency = 8
	DefaultTimeout     = 30 * time.Second
	DefaultBatch       = 500
)

const (
	// startFor is how long one call of Handle begins new runs; what is left comes
	// again. Else some slow handlers would keep the outcomes of all others from
	// being settled, and a worker from stopping in order.
	startFor = 5 * time.Second
	// atOnce is how often a transaction that was in another's way is tried again
	// before that is a failure.
	atOnce = 3
)

// Applier is the end of a pipeline that applies: it gives the messages of an
// inbox to their handlers. It is safe for concurrent use.
type Applier struct {
	finder    Finder
	completer Completer
	cfg       Config
	code, sql classes
	running   chan struct{} // one of each handler that runs
	losses    *losses
}

// NewApplier makes an applier. The error names every mistake in the config.
func NewApplier(f Finder, c Completer, cfg Config) (*Applier, error) {
	var mistakes []error
	if f == nil || c == nil {
		mistakes = append(mistakes, errors.New("they need something that finds them, such as Routes, and a table that completes messages, such as a store"))
	}
	if cfg.Concurrency < 0 {
		mistakes = append(mistakes, fmt.Errorf("concurrency is %d, must be at least 1", cfg.Concurrency))
	}
	if cfg.Timeout < 0 {
		mistakes = append(mistakes, fmt.Errorf("timeout is %s, must be above 0", cfg.Timeout))
	}
	if cfg.Batch < 0 {
		mistakes = append(mistakes, fmt.Errorf("batch is %d, must be at least 1", cfg.Batch))
	}
	if mistakes = append(mistakes, checkClasses(cfg.Classes)...); len(mistakes) > 0 {
		return nil, fmt.Errorf("handlers of an inbox: %w", errors.Join(mistakes...))
	}
	cfg.Concurrency = cmp.Or(cfg.Concurrency, DefaultConcurrency)
	cfg.Timeout = cmp.Or(cfg.Timeout, DefaultTimeout)
	cfg.Batch = cmp.Or(cfg.Batch, DefaultBatch)
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Applier{
		finder: f, completer: c, cfg: cfg,
		code: codeClasses.with(cfg.Classes), sql: codeClasses.with(sqlClasses).with(cfg.Classes),
		running: make(chan struct{}, cfg.Concurrency), losses: &losses{},
	}, nil
}

// With gives an applier that completes by c, for events under leases of another
// kind. Both together keep to the limit of handlers that run at once.
func (a *Applier) With(c Completer) *Applier {
	other := *a
	other.completer = c
	return &other
}

// Probe returns nil if the database can be reached.
func (a *Applier) Probe(ctx context.Context) error {
	if a.cfg.Probe == nil {
		return nil
	}
	return a.cfg.Probe(ctx)
}

// Handle applies the events and returns one error for each; nil means that it is
// done. Those of a key are handled one after the other, in the order given, and
// once one fails, later ones get omnibox.ErrNotSent; different keys are handled
// concurrently. It blocks until every event is decided: nothing begins once ctx
// has ended, or some seconds have passed, and no handler is waited for much longer
// than the timeout, or than ctx lasts.
func (a *Applier) Handle(ctx context.Context, events []*omnibox.Event) []error {
	c := &call{Applier: a, errs: make([]error, len(events)), slice: newSlice(), hands: newHands(a.cfg.Concurrency)}
	defer c.hands.end()
	for _, wave := range a.plan(events) {
		c.runAll(ctx, wave)
	}
	return c.errs
}

// call is one call of Handle.
type call struct {
	*Applier
	errs  []error
	slice *slice
	hands hands
}

// slice is a time in which runs may begin. The first may always, so that each
// call gets on.
type slice struct {
	until time.Time
	begun atomic.Bool
}

func newSlice() *slice { return &slice{until: time.Now().Add(startFor)} }

// admits tells whether a run may begin.
func (s *slice) admits() bool {
	return s.begun.CompareAndSwap(false, true) || time.Now().Before(s.until)
}

// begin takes one of the places of running handlers, if a run may begin.
func (c *call) begin(ctx context.Context, s *slice) bool {
	select {
	case c.running <- struct{}{}:
	case <-ctx.Done():
		return false
	}
	if ctx.Err() != nil || !s.admits() {
		c.end()
		return false
	}
	return true
}

func (c *call) end() { <-c.running }

// decide notes what became of an item.
func (c *call) decide(it item, err error) {
	c.errs[it.at] = err
	if _, skipped := errors.AsType[*omnibox.SkipError](err); err != nil && !skipped {
		it.key.failed = true
	}
}

// spare leaves an item untried.
func (c *call) spare(it item) { c.decide(it, omnibox.ErrNotSent) }

// runAll runs the units of a wave, as many at once as there may be handlers.
func (c *call) runAll(ctx context.Context, units []*unit) {
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(len(units), c.cfg.Concurrency) {
		wg.Go(func() {
			for n := next.Add(1); n <= int64(len(units)); n = next.Add(1) {
				c.runUnit(ctx, units[n-1])
			}
		})
	}
	wg.Wait()
}

func (c *call) runUnit(ctx context.Context, u *unit) {
	if u.batch == nil {
		c.oneByOne(ctx, u.items, c.slice)
		return
	}
	for rest := u.items; len(rest) > 0; {
		n := min(len(rest), c.cfg.Batch)
		c.together(ctx, u.batch, rest[:n])
		rest = rest[n:]
	}
}

// oneByOne handles items one after the other.
func (c *call) oneByOne(ctx context.Context, items []item, s *slice) {
	for _, it := range items {
		if it.key.failed || !c.begin(ctx, s) {
			c.spare(it)
			continue
		}
		c.decide(it, c.one(ctx, it))
		c.end()
	}
}

// one handles an item; again, if its transaction was in the way of another's.
func (c *call) one(ctx context.Context, it item) (err error) {
	for range 1 + atOnce {
		var found Call
		if found, err = c.find(ctx, it); err != nil {
			return err
		}
		if !found.InTx {
			return c.code.classify(c.bounded(ctx, nil, func(ctx context.Context, _ pgx.Tx) error { return found.Run(ctx, nil) }))
		}
		classes := c.code
		if found.statement {
			classes = c.sql
		}
		err = c.complete(ctx, classes, []item{it}, func(ctx context.Context, tx pgx.Tx, _ []*omnibox.Event) error { return found.Run(ctx, tx) })
		if !isConflict(err) {
			return err
		}
	}
	return err
}

// together handles items in one transaction. If that fails, and not because of
// the database or the end of all, they are handled one by one, in a time of their
// own, since a handler that never returned may have used up all of the other.
func (c *call) together(ctx context.Context, b *batch, items []item) {
	items = c.live(items)
	if len(items) < 2 {
		c.oneByOne(ctx, items, c.slice)
		return
	}
	if !c.begin(ctx, c.slice) {
		for _, it := range items {
			c.spare(it)
		}
		return
	}
	items, err := c.apply(ctx, b, items)
	c.end()
	if err != nil && ctx.Err() == nil && omnibox.ClassOf(err) != omnibox.ClassUnreachable {
		c.oneByOne(ctx, items, newSlice())
		return
	}
	for _, it := range items {
		if it.key.failed {
			c.spare(it)
		} else {
			c.decide(it, err)
		}
	}
}

// apply gives items to a batch handler, and returns those it was given. Those
// that cannot be read are decided, and what is behind them.
func (c *call) apply(ctx context.Context, b *batch, items []item) (given []item, err error) {
	for range 1 + atOnce {
		var found []finding
		if found, err = c.findAll(ctx, items); err != nil {
			return items, err
		}
		messages := make(map[*omnibox.Event]any, len(items))
		given = make([]item, 0, len(items))
		for i, it := range items {
			switch {
			case it.key.failed:
				c.spare(it)
			case found[i].err != nil:
				c.decide(it, found[i].err)
			default:
				given, messages[it.e] = append(given, it), found[i].call.message
			}
		}
		if items = given; len(items) == 0 {
			return nil, nil
		}
		err = c.complete(ctx, c.code, items, func(ctx context.Context, tx pgx.Tx, live []*omnibox.Event) error {
			all := make([]any, 0, len(live))
			for _, e := range live {
				all = append(all, messages[e])
			}
			return b.run(ctx, tx, all)
		})
		if !isConflict(err) {
			return items, err
		}
	}
	return items, err
}

// live are those of items whose key has not failed; the others are spared.
func (c *call) live(items []item) []item {
	live := make([]item, 0, len(items))
	for _, it := range items {
		if it.key.failed {
			c.spare(it)
		} else {
			live = append(live, it)
		}
	}
	return live
}
