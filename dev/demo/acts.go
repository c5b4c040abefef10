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
	"github.com/omnibox-go/omnibox/workflows"
)

// show is the demo at work.
type show struct {
	stack  *stack
	screen *screen
	shop   *shop
	topic  *topic
	audit  *audit
	store  *store.Store

	replayed, rolledBack []uuid.UUID
}

const (
	firstOrders = 80
	warmUp      = 20 // of them, while connections are made
	ordersEvery = 50 * time.Millisecond
	burstOrders = 8000
	// betweenActs is for people who read
	betweenActs = 1500 * time.Millisecond
	newCurrency = "CHF" // one that the audit does not know
)

// play runs the acts, with orders arriving all the time.
func (sh *show) play(ctx context.Context) error {
	return sh.whileOpen(ctx, ordersEvery, func(ctx context.Context) error {
		for _, act := range []func(context.Context) error{sh.arrive, sh.rollBack, sh.recover, sh.bury, sh.burst} {
			if err := act(ctx); err != nil {
				return err
			}
			if err := sh.breathe(ctx); err != nil {
				return err
			}
		}
		return nil
	})
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
func (sh *show) whileOpen(ctx context.Context, every time.Duration, f func(context.Context) error) error {
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

// arrive shows the ordinary case.
func (sh *show) arrive(ctx context.Context) error {
	sh.screen.title("1. Orders arrive")
	sh.screen.say("An order and its event are written in one transaction, %d orders a second.", time.Second/ordersEvery)
	if err := sh.topic.awaitCount(ctx, firstOrders); err != nil {
		return err
	}
	all := sh.topic.all()
	var took []time.Duration
	customers := map[string]bool{}
	for i, d := range all {
		customers[d.customer] = true
		if i >= warmUp {
			took = append(took, d.took)
		}
	}
	slices.Sort(took)
	sh.screen.good("%d orders of %d customers have been read from Kafka; of the last %d", len(all), len(customers), len(took))
	sh.screen.say("half came within %s of being placed, nine in ten within %s", ms(took[len(took)/2]), ms(took[len(took)*9/10]))
	return nil
}

// rollBack shows a transaction that fails after its event was written.
func (sh *show) rollBack(ctx context.Context) error {
	sh.screen.title("2. A payment is declined")
	sh.screen.say("Order and event are written already; the transaction rolls back.")
	p := sh.shop.buy(sh.shop.customer(0))
	if err := sh.shop.place(ctx, p, true); !errors.Is(err, errDeclined) {
		return fmt.Errorf("a declined payment was taken: %w", err)
	}
	sh.rolledBack = append(sh.rolledBack, p.orders...)
	sh.screen.good("rolled back; that nothing is left of it is checked at the end")
	return nil
}

// recover shows a failure that goes away.
func (sh *show) recover(ctx context.Context) error {
	customer := sh.shop.customer(6)
	sh.screen.title("3. The audit step is busy, twice, for one order of " + customer)
	sh.screen.say("It is tried again, 0.5 to 2 s later. The customer's next order waits for it,")
	sh.screen.say("the orders of others do not.")
	failing, next := sh.shop.buy(customer), sh.shop.buy(customer)
	sh.audit.failFor(failing.orders[0], 2)
	placed, before := time.Now(), sh.topic.count()
	if err := sh.shop.place(ctx, failing, false); err != nil {
		return err
	}
	if err := sh.shop.place(ctx, next, false); err != nil {
		return err
	}
	if err := sh.topic.await(ctx, failing.orders[0]); err != nil {
		return err
	}
	took, others := time.Since(placed), sh.topic.count()-before-1
	if err := sh.topic.await(ctx, next.orders[0]); err != nil {
		return err
	}
	sh.screen.good("delivered at the third attempt, after %.1f s, then the customer's next one;", took.Seconds())
	sh.screen.say("%d orders of others went by in the meantime", others)
	return nil
}

// bury shows an event that can never be delivered, and its replay.
func (sh *show) bury(ctx context.Context) error {
	customer := sh.shop.customer(10)
	sh.screen.title("4. An order that the audit step refuses")
	sh.screen.say("%s pays in %s, which the step does not know: a bug.", customer, newCurrency)
	bad := sh.shop.buy(customer)
	bad.currency = newCurrency
	letter, err := sh.kill(ctx, bad)
	if err != nil {
		return err
	}
	next := sh.shop.buy(customer)
	if err := sh.shop.place(ctx, next, false); err != nil {
		return err
	}
	if err := sh.topic.await(ctx, next.orders...); err != nil {
		return err
	}
	sh.showLetter(letter)
	sh.tellHowToReplay(letter)
	sh.audit.learn(newCurrency)
	sh.screen.say("The bug is mended now, and the event is put back:")
	// someone may have been faster, in a second terminal
	if _, err := sh.store.Replay(ctx, store.ReplayParams{IDs: []store.DeadID{{Event: letter.EventID}}, By: "demo"}); err != nil {
		return err
	}
	if err := sh.topic.await(ctx, bad.orders...); err != nil {
		return err
	}
	sh.replayed = append(sh.replayed, bad.orders...)
	sh.screen.good("replayed and delivered")
	return nil
}

// kill places an order that is refused, and waits for its dead letter.
func (sh *show) kill(ctx context.Context, p purchase) (store.DeadLetter, error) {
	if err := sh.shop.place(ctx, p, false); err != nil {
		return store.DeadLetter{}, err
	}
	var letter store.DeadLetter
	err := poll(ctx, func(ctx context.Context) (bool, error) {
		page, err := sh.store.ListDead(ctx, store.ListDeadParams{Filter: store.DeadFilter{State: store.DeadOpen}, Limit: 1})
		if err != nil || len(page.Letters) == 0 {
			return false, err
		}
		letter = page.Letters[0]
		return true, nil
	})
	if err != nil {
		return letter, fmt.Errorf("wait for the dead letter: %w", err)
	}
	return letter, nil
}

// burst shows a pause, a backlog, and how fast it goes away.
func (sh *show) burst(ctx context.Context) error {
	sh.screen.title("5. Pause, a burst of orders, resume")
	if err := sh.setPaused(ctx, workflows.SignalPause, true); err != nil {
		return err
	}
	sh.screen.good("paused, by a signal to a poller; orders go on being written")
	if err := sh.breathe(ctx); err != nil {
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
	began = time.Now()
	if err := sh.setPaused(ctx, workflows.SignalResume, false); err != nil {
		return err
	}
	if err := sh.topic.await(ctx, orders...); err != nil {
		return err
	}
	took = time.Since(began)
	sh.screen.good("resumed; all in Kafka %.1f s after the signal: %s events a second", took.Seconds(), count(int(float64(len(orders))/took.Seconds())))
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
