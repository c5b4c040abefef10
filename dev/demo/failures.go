package demo

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/store"
	"github.com/omnibox-go/omnibox/workflows"
)

// recover shows a failure that goes away.
func (sh *show) recover(ctx context.Context) error {
	customer := sh.shop.customer(6)
	sh.screen.title("6. The audit step is busy, twice, for one order of " + customer)
	sh.screen.say("The event fails in the batch lane and gets a workflow of its own, which")
	sh.screen.say("tries again. The customer's next order waits, the orders of others do not.")
	failing, next := sh.shop.buy(customer), sh.shop.buy(customer)
	sh.audit.failFor(failing.orders[0], 2)
	placed, before := time.Now(), sh.topic.count()
	if err := sh.shop.place(ctx, failing, false); err != nil {
		return err
	}
	if err := sh.shop.place(ctx, next, false); err != nil {
		return err
	}
	if err := sh.escalated(ctx, failing.orders[0]); err != nil {
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

// escalated waits until an event that failed has its workflow, and shows it.
func (sh *show) escalated(ctx context.Context, order uuid.UUID) error {
	escalated, err := sh.stack.awaitEscalated(ctx, order)
	if err != nil {
		return err
	}
	if sh.lanes.failed++; escalated {
		sh.lanes.escalated++
	}
	sh.screen.good("escalated; its workflow:")
	sh.stack.showWorkflow(sh.stack.eventID(order))
	return nil
}

// bury shows an event that cannot be delivered, and its replay.
func (sh *show) bury(ctx context.Context) error {
	customer := sh.shop.customer(10)
	sh.screen.title("7. An order that the audit step cannot take")
	sh.screen.say("%s pays in %s, which the step does not know: a bug.", customer, newCurrency)
	bad, next := sh.shop.buy(customer), sh.shop.buy(customer)
	bad.currency = newCurrency
	letter, err := sh.kill(ctx, bad)
	if err != nil {
		return err
	}
	if err := sh.shop.place(ctx, next, false); err != nil {
		return err
	}
	if err := sh.topic.await(ctx, next.orders...); err != nil {
		return err
	}
	sh.showLetter(letter)
	sh.tellHowToReplay(letter)
	sh.audit.learn(newCurrency)
	sh.screen.say("The bug is mended now, and the workflow gets the signal %s:", workflows.SignalReplay)
	if err := sh.stack.signalReplay(ctx, bad.orders[0]); err != nil {
		return err
	}
	if err := sh.topic.await(ctx, bad.orders...); err != nil {
		return err
	}
	sh.replayed = append(sh.replayed, bad.orders...)
	letter, err = sh.letter(ctx, store.DeadReplayed, letter.EventID)
	if err != nil {
		return err
	}
	if letter.ResolvedBy != "demo" { // someone was faster, in a second terminal
		sh.screen.good("replayed by %s, and delivered", letter.ResolvedBy)
		return nil
	}
	if err := sh.stack.awaitEnded(ctx, bad.orders[0]); err != nil {
		return err
	}
	sh.screen.good("replayed by demo, and delivered; its workflow has ended")
	return nil
}

// kill places an order that fails at every attempt, tells of each, and waits for
// its dead letter.
func (sh *show) kill(ctx context.Context, p purchase) (store.DeadLetter, error) {
	order := p.orders[0]
	if err := sh.shop.place(ctx, p, false); err != nil {
		return store.DeadLetter{}, err
	}
	told := 0
	err := poll(ctx, func(ctx context.Context) (bool, error) {
		attempts, status, err := sh.shop.attempts(ctx, order)
		if err != nil || attempts == told {
			return false, err
		}
		sh.screen.say("attempt %d of %d has failed", attempts, maxAttempts)
		if told == 0 {
			err = sh.escalated(ctx, order)
		}
		told = attempts
		return status == omnibox.StatusFailed, err
	})
	if err != nil {
		return store.DeadLetter{}, fmt.Errorf("wait for the event to be dead: %w", err)
	}
	if err := sh.stack.awaitParked(ctx, order); err != nil {
		return store.DeadLetter{}, err
	}
	return sh.letter(ctx, store.DeadOpen, order)
}

// letter is the dead letter of an event.
func (sh *show) letter(ctx context.Context, state store.DeadState, event uuid.UUID) (store.DeadLetter, error) {
	page, err := sh.store.ListDead(ctx, store.ListDeadParams{Filter: store.DeadFilter{State: state}, Limit: 100})
	if err != nil {
		return store.DeadLetter{}, err
	}
	for _, l := range page.Letters {
		if l.EventID == event {
			return l, nil
		}
	}
	return store.DeadLetter{}, errors.New("there is no dead letter of event " + event.String())
}
