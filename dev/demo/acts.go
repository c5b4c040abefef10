package demo

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/omnibox-go/omnibox/store"
	"github.com/omnibox-go/omnibox/worker/config"
	"github.com/omnibox-go/omnibox/workflows"
)

// show is the demo at work.
type show struct {
	stack   *stack
	screen  *screen
	shop    *shop
	topic   *topic
	audit   *audit
	store   *store.Store
	limits  config.Outbox // the worker's
	metrics int           // the port of the worker's metrics

	invoicing            *invoicing
	replayed, rolledBack []uuid.UUID
	lanes                lanes
	bill                 billed
}

const (
	calmOrders  = 16 // fewer than the budget has workflows for at once
	calmEvery   = 150 * time.Millisecond
	moreOrders  = 40
	ordersEvery = 50 * time.Millisecond
	burstOrders = 4000
	// betweenActs is for people who read
	betweenActs = 700 * time.Millisecond
	newCurrency = "CHF" // one that the audit does not know
)

type act func(context.Context) error

// play runs the acts, with orders arriving all the time.
func (sh *show) play(ctx context.Context) error {
	if err := sh.whileOpen(ctx, calmEvery, sh.inTurn(sh.arrive)); err != nil {
		return err
	}
	return sh.whileOpen(ctx, ordersEvery, sh.inTurn(sh.burst, sh.crash, sh.hurry, sh.rollBack, sh.recover, sh.bury, sh.resume, sh.garble))
}

func (sh *show) inTurn(acts ...act) act {
	return func(ctx context.Context) error {
		for _, act := range acts {
			if err := act(ctx); err != nil {
				return err
			}
			if err := sh.breathe(ctx); err != nil {
				return err
			}
		}
		return nil
	}
}

// breathe gives people time to read.
func (sh *show) breathe(ctx context.Context) error {
	if !sh.screen.terminal {
		return nil
	}
	select {
	case <-time.After(betweenActs):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// whileOpen runs f while the shop gets orders and the live numbers are shown.
// An error of the shop ends f.
func (sh *show) whileOpen(ctx context.Context, every time.Duration, f act) error {
	ctx, cancel := context.WithCancelCause(ctx)
	ended := make(chan struct{}, 2)
	go func() {
		defer func() { ended <- struct{}{} }()
		if err := sh.shop.serve(ctx, every); err != nil {
			cancel(err)
		}
	}()
	go func() {
		defer func() { ended <- struct{}{} }()
		sh.watch(ctx)
	}()
	err := f(ctx)
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	cancel(nil)
	<-ended
	<-ended
	return err
}

// watch keeps the live numbers up to date.
func (sh *show) watch(ctx context.Context) {
	defer sh.screen.live("")
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		sh.screen.live(sh.numbers(ctx))
	}
}

// numbers are how things stand, in a line.
func (sh *show) numbers(ctx context.Context) string {
	written, delivered := sh.shop.written.Load(), int64(sh.topic.count())
	parts := []string{
		"orders " + count(written), "in Kafka " + count(delivered), "on their way " + count(max(0, written-delivered)),
	}
	if n, err := sh.invoicing.Count(ctx); err == nil {
		parts = append(parts, "invoices "+count(n))
	}
	if s, err := sh.store.Status(ctx); err == nil {
		for _, d := range s.Dead {
			parts = append(parts, "dead "+d.Letters.String())
		}
		if s.Paused != nil {
			parts = append(parts, "paused by "+s.Paused.By)
		}
	}
	return strings.Join(parts, "   ")
}

// arrive shows the workflow lane.
func (sh *show) arrive(ctx context.Context) error {
	sh.screen.title("1. A few orders arrive: the workflow lane")
	sh.screen.say("An order and its event are written in one transaction, one every %d ms.", calmEvery.Milliseconds())
	if err := sh.topic.awaitCount(ctx, calmOrders); err != nil {
		return err
	}
	arrived := sh.topic.all()
	one, length := uuid.Nil, int64(0)
	for _, d := range arrived {
		info, err := sh.stack.eventWorkflow(ctx, d.order)
		if err != nil {
			return err
		}
		if info == nil {
			continue
		}
		sh.lanes.calm++
		if closed := info.GetCloseTime() != nil; closed && one == uuid.Nil {
			one, length = d.order, info.GetHistoryLength()
		}
	}
	sh.lanes.calmOrders = len(arrived)
	sh.screen.good("%d orders have been read from Kafka; %d had a workflow of their own", len(arrived), sh.lanes.calm)
	sh.tellLatency(arrived)
	if one != uuid.Nil {
		sh.screen.say("One of these workflows, with %d events in its history:", length)
		sh.stack.showWorkflow(sh.stack.eventID(one))
	}
	return nil
}

func (sh *show) tellLatency(of []delivery) {
	took := make([]time.Duration, len(of))
	for i, d := range of {
		took[i] = d.took
	}
	slices.Sort(took)
	sh.screen.say("half came within %s of being placed, nine in ten within %s", ms(took[len(took)/2]), ms(took[len(took)*9/10]))
}

// hurry shows traffic that the budget has no workflows for.
func (sh *show) hurry(ctx context.Context) error {
	sh.screen.title("4. More orders arrive")
	sh.screen.say("Now %d orders a second. The budget is %d workflows a minute, %d at once:", time.Second/ordersEvery, sh.limits.WorkflowBudget, sh.bucket())
	sh.screen.say("when it is spent, events are sent and settled in batches.")
	before := sh.topic.count()
	if err := sh.topic.awaitCount(ctx, before+moreOrders); err != nil {
		return err
	}
	came := sh.topic.all()
	sh.screen.good("%d orders have been read from Kafka; of the last %d", len(came), moreOrders/2)
	sh.tellLatency(came[len(came)-moreOrders/2:])
	return nil
}

// rollBack shows a transaction that fails after its event was written.
func (sh *show) rollBack(ctx context.Context) error {
	sh.screen.title("5. A payment is declined")
	sh.screen.say("Order and event are written already; the transaction rolls back.")
	p := sh.shop.buy(sh.shop.customer(0))
	if err := sh.shop.place(ctx, p, true); !errors.Is(err, errDeclined) {
		return fmt.Errorf("a declined payment was taken: %w", err)
	}
	sh.rolledBack = append(sh.rolledBack, p.orders...)
	sh.screen.good("rolled back; that nothing is left of it is checked at the end")
	return nil
}

// burst shows a pause, a backlog, and how fast it goes away.
func (sh *show) burst(ctx context.Context) error {
	sh.screen.title("2. Pause, a burst of orders, resume: the batch lane")
	if err := sh.setPaused(ctx, workflows.SignalPause, true); err != nil {
		return err
	}
	sh.screen.good("paused, by a signal to a poller; orders go on being written")
	if err := sh.breathe(ctx); err != nil {
		return err
	}
	before, err := sh.stack.started(ctx)
	if err != nil {
		return err
	}
	began := time.Now()
	orders, err := sh.shop.burst(ctx, burstOrders)
	if err != nil {
		return err
	}
	took := time.Since(began)
	status, err := sh.store.Status(ctx)
	if err != nil {
		return err
	}
	sh.screen.good("%s more written in %.1f s, in transactions of %d; %s events wait", count(len(orders)), took.Seconds(), burstEach, count(status.Backlog.N))
	if err := sh.breathe(ctx); err != nil {
		return err
	}
	resumed := time.Now()
	if err := sh.setPaused(ctx, workflows.SignalResume, false); err != nil {
		return err
	}
	if err := sh.topic.await(ctx, orders...); err != nil {
		return err
	}
	took = time.Since(resumed)
	sh.screen.good("resumed; all in Kafka %.1f s after the signal: %s events a second", took.Seconds(), count(int(float64(len(orders))/took.Seconds())))
	after, err := sh.stack.started(ctx)
	if err != nil {
		return err
	}
	sh.lanes.burst, sh.lanes.allowed = after-before, sh.allowed(time.Since(began))
	sh.screen.say("The burst has added %d event workflows; the budget would have allowed %d.", sh.lanes.burst, sh.lanes.allowed)
	return nil
}

// setPaused sends a signal and waits until the database shows its effect.
func (sh *show) setPaused(ctx context.Context, signal string, paused bool) error {
	if err := sh.stack.signal(ctx, signal); err != nil {
		return err
	}
	err := poll(ctx, func(ctx context.Context) (bool, error) {
		status, err := sh.store.Status(ctx)
		return (status.Paused != nil) == paused, err
	})
	if err != nil {
		return fmt.Errorf("wait for the effect of signal %s: %w", signal, err)
	}
	return nil
}

func ms(d time.Duration) string { return fmt.Sprintf("%.0f ms", float64(d)/float64(time.Millisecond)) }
