package worker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"go.temporal.io/sdk/worker"

	"github.com/omnibox-go/omnibox/activities"
	"github.com/omnibox-go/omnibox/broker"
	"github.com/omnibox-go/omnibox/inbox"
	"github.com/omnibox-go/omnibox/pipeline"
	"github.com/omnibox-go/omnibox/store"
	"github.com/omnibox-go/omnibox/store/migrate"
	"github.com/omnibox-go/omnibox/worker/config"
	"github.com/omnibox-go/omnibox/workflows"
)

// box is one pipeline of a worker, on its way from configured to running.
type box struct {
	worker    *Worker
	name      string
	cfg       config.Box
	owner     string
	log       *slog.Logger
	breaker   *pipeline.Breaker // of where events go to
	converter broker.Converter  // of an outbox
	handlers  inbox.Finder      // of an inbox
	applier   *inbox.Applier    // of an inbox
	reader    *broker.Reader    // of an inbox
	metrics   *eventMetrics
	state     *state

	// set once the database answered
	store   *store.Store
	relay   *activities.Relay
	events  *activities.Events
	letters *store.Lane
	plan    atomic.Pointer[activities.Plan] // of event workflows; nil until Temporal has been reached
	starts  starts                          // of event workflows under way
}

const (
	retryFirst  = time.Second
	retryMax    = 15 * time.Second
	ensureEvery = 5 * time.Second
	longPoll    = 15 * time.Minute
	linger      = 10 * time.Second
	// mostGiveBack is how much of the grace is for giving back what is under way.
	mostGiveBack = 5 * time.Second
)

func newBox(w *Worker, cfg config.Box, owner string, events *eventMetrics) (*box, error) {
	b := &box{
		worker: w, name: cfg.Name, cfg: cfg, owner: owner, metrics: events, state: newState(),
		log: w.log.With(slog.String("pipeline", cfg.Name)),
	}
	if cfg.Inbox != nil {
		return b, b.prepareInbox()
	}
	return b, b.prepareOutbox()
}

func (b *box) prepareOutbox() (err error) {
	b.breaker = b.worker.brokers[b.cfg.Broker].breaker
	b.converter = b.worker.options.converters[b.name]
	if b.converter == nil {
		b.converter, err = broker.NewConverter(b.cfg.Outbox.Converter)
	}
	return err
}

func (b *box) queue() string { return workflows.TaskQueue(b.worker.cfg.Temporal.IDPrefix, b.name) }

// run brings the pipeline up and keeps it up until ctx ends.
func (b *box) run(ctx context.Context) {
	if !b.insist(ctx, "opening the table", b.open) {
		return
	}
	watcher := store.Watch(ctx, b.worker.databases[b.cfg.Database], b.cfg.Table, b.log)
	defer watcher.Close()
	rows := newRows(b.store, watcher, b.log)
	scanCtx, stopScan := context.WithCancel(context.WithoutCancel(ctx)) // drains under way still wait for it
	var scan sync.WaitGroup
	scan.Go(func() { rows.scan(scanCtx, b.state.database) })
	defer func() { stopScan(); scan.Wait() }()
	alone := b.build(rows, ending(ctx, b.worker.cfg.Shutdown.Grace))
	if b.cfg.Inbox != nil {
		var forgetting sync.WaitGroup
		defer forgetting.Wait()
		forgetting.Go(func() { b.forget(ctx) })
	}
	if b.cfg.TemporalDown == "direct" {
		var direct sync.WaitGroup
		defer direct.Wait()
		direct.Go(func() { b.direct(ctx, alone, rows) })
	}
	for ctx.Err() == nil {
		var w worker.Worker
		fatal := make(chan error, 1)
		if !b.insist(ctx, "starting with Temporal", func(ctx context.Context) (err error) {
			w, err = b.start(ctx, fatal)
			return err
		}) {
			return
		}
		b.state.set(phaseRunning, nil)
		b.log.InfoContext(ctx, "pipeline running", slog.String("table", b.cfg.Table), slog.Int("shards", b.cfg.Shards), slog.String("task_queue", b.queue()))
		b.watch(ctx, fatal)
		b.state.set("stopping", nil)
		w.Stop()
		b.starts.wait()
	}
}

// ending is closed when ctx has ended and most of the grace is over. The rest is for
// what is under way then to be given back.
func ending(ctx context.Context, grace time.Duration) <-chan struct{} {
	soon := make(chan struct{})
	context.AfterFunc(ctx, func() {
		time.AfterFunc(grace-min(grace/4, mostGiveBack), func() { close(soon) })
	})
	return soon
}

// insist tries until it works, and shows what it waits for. It returns false
// when ctx ended first.
func (b *box) insist(ctx context.Context, phase string, try func(context.Context) error) bool {
	for delay := retryFirst; ; delay = min(2*delay, retryMax) {
		err := try(ctx)
		if err == nil {
			return true
		}
		if ctx.Err() != nil {
			return false
		}
		b.state.set(phase, err)
		b.log.WarnContext(ctx, phase+", trying again", slog.Any("error", err), slog.Duration("after", delay)) //nolint:sloglint // the phase is one of three constants
		select {
		case <-time.After(delay):
		case <-ctx.Done():
			return false
		}
	}
}

// open finds the table, and checks that this binary and this configuration fit
// it. It changes nothing in a database that they do not fit.
func (b *box) open(ctx context.Context) error {
	db := b.worker.databases[b.cfg.Database]
	if err := CheckSchema(ctx, db, b.cfg); err != nil {
		return err
	}
	s, err := store.Open(ctx, db, b.cfg.Store(b.owner))
	if err != nil {
		return err
	}
	if b.cfg.Claim == store.ClaimShard {
		if err := refuseForeign(ctx, s); err != nil {
			return err
		}
	}
	if err := b.checkStatement(ctx); err != nil {
		return err
	}
	if err := s.Register(ctx, s.Settings()); err != nil {
		return err
	}
	b.store = s
	b.state.opened(s)
	return nil
}

// CheckSchema says whether a box's table is exactly what this binary needs.
func CheckSchema(ctx context.Context, db *pgxpool.Pool, b config.Box) error {
	if b.Inbox != nil {
		return migrate.CheckInbox(ctx, db, b.Table)
	}
	return migrate.Check(ctx, db, b.Table)
}

// refuseForeign keeps slot leases away from a table that another program
// relays, which does not know them, or another group handles, which they would keep
// from its messages.
func refuseForeign(ctx context.Context, s *store.Store) error {
	if err := s.RefuseForeignGroups(ctx); err != nil {
		return err
	}
	owners, err := s.ForeignOwners(ctx)
	if err != nil || len(owners) == 0 {
		return err
	}
	return fmt.Errorf("another relay works on this table (locked_by %q): stop it, or set claim: row", owners[0])
}

// build puts the pipeline together, and the activities that work with it. It
// returns the pipeline as it is without Temporal.
func (b *box) build(rows *rows, ending <-chan struct{}) (alone *pipeline.Pipeline) {
	o := b.worker.options
	cfg := pipeline.Config{
		Name: b.name, Breaker: b.breaker,
		Steps:       o.steps[b.name],
		Finishers:   []pipeline.Finisher{b.metrics.of(b.name)},
		StepTimeout: b.cfg.StepTimeout,
		Retry:       pipeline.Retry{Base: cmp.Or(b.cfg.Retry.Base, -1), Max: b.cfg.Retry.Max},
		Batch:       b.cfg.Batch, Lease: b.cfg.Lease, Ending: ending, Log: b.log,
	}
	lane := b.lane()
	if b.cfg.Inbox != nil {
		cfg.Handler, cfg.LaneHandler, cfg.Bounded = b.applier.With(b.store), b.applier.With(lane.Store()), true
	} else {
		cfg.Handler = broker.NewSink(b.worker.brokers[b.cfg.Broker].publisher, b.converter)
	}
	strategies := func(s *store.Store) {
		cfg.Fetch, cfg.Commit, cfg.Lane = s, s, lane
		if strategy := o.fetch[b.name]; strategy != nil {
			cfg.Fetch = strategy(s)
		}
		if strategy := o.commit[b.name]; strategy != nil {
			cfg.Commit = strategy(s)
			cfg.Lane = ownLane{Lane: lane, commit: strategy(lane.Store())}
		}
	}
	strategies(b.store.WithoutEscalation())
	alone = pipeline.New(cfg)
	strategies(b.store)
	cfg.Escalate = b.escalate
	p := pipeline.New(cfg)
	b.relay = &activities.Relay{
		Pipeline: p, Rows: rows, Shards: b.cfg.Shards,
		LongPoll: longPoll, Slice: b.cfg.Slice, Linger: linger, Lane: b.handOver(p),
	}
	if b.cfg.Lane == config.LaneWorkflow { // a drain is for what no workflow does
		b.relay.Slice, b.relay.Linger = time.Second, 0
	}
	b.letters = lane
	b.events = &activities.Events{
		Pipeline: p, Letters: lane, Settled: func(slot int) { rows.watcher.Wake([]int{slot}) },
	}
	return alone
}

// start starts a Temporal worker for the pipeline, and the pollers.
func (b *box) start(ctx context.Context, fatal chan<- error) (worker.Worker, error) {
	if err := b.store.CheckSettings(ctx); err != nil {
		return nil, err
	}
	id, err := b.store.Identity(ctx)
	if err != nil {
		return nil, err
	}
	relay := *b.relay // activities of an earlier Temporal worker may still read the old one
	relay.Database = id.String()
	relay.Lane.Plan.Attributes = b.ensureAttributes(ctx)
	b.relay = &relay
	b.plan.Store(&relay.Lane.Plan)
	if err := b.ensurePollers(ctx); err != nil {
		return nil, err
	}
	w := worker.New(b.worker.temporal, b.queue(), worker.Options{
		Identity: b.owner,
		// a fetch or a drain a shard, and a pause; consumers; events that need care
		MaxConcurrentActivityExecutionSize: 2*b.cfg.Shards + 2 + b.members() + maxInFlight + b.cfg.MaxEscalations,
		WorkerStopTimeout:                  b.worker.cfg.Shutdown.Grace,
		// how long a poller waits for the worker that last ran it before another
		// one may: it is quick to replay, and that worker may be dead
		StickyScheduleToStartTimeout: time.Second,
		OnFatalError: func(err error) {
			select {
			case fatal <- err:
			default:
			}
		},
	})
	workflows.Register(w, b.relay, b.events)
	if b.cfg.Inbox != nil {
		workflows.RegisterConsumer(w, b.consumers(id.String()))
	}
	if err := w.Start(); err != nil {
		return nil, fmt.Errorf("start Temporal worker: %w", err)
	}
	return w, nil
}

// watch keeps the pollers running until ctx or the Temporal worker ends, or
// somebody has changed what all workers of the table must agree on. While a worker
// with fewer shards is still there, it ends the pollers of those that it does not
// know: until they are back, nobody looks after some slots.
func (b *box) watch(ctx context.Context, fatal <-chan error) {
	tick := time.NewTicker(ensureEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case err := <-fatal:
			b.log.ErrorContext(ctx, "Temporal worker ended, starting another", slog.Any("error", err))
			return
		case <-tick.C:
			err := b.store.CheckSettings(ctx)
			if isMismatch(err) {
				b.log.ErrorContext(ctx, "stopping the pipeline", slog.Any("error", err))
				return
			}
			if err := b.ensurePollers(ctx); err != nil && !errors.Is(err, context.Canceled) {
				b.log.WarnContext(ctx, "ensure pollers", slog.Any("error", err))
			}
		}
	}
}
