package demo

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/omnibox-go/omnibox/dev/demo/billing"
	"github.com/omnibox-go/omnibox/store"
)

// killAfter is how many invoices of the burst are written before the process that
// writes them is killed.
const killAfter = burstOrders / 8

// crash kills the second service while it has its hands full.
func (sh *show) crash(ctx context.Context) error {
	sh.screen.title("3. Billing is killed")
	sh.screen.say("A second service, a process with a database of its own, consumes the orders")
	sh.screen.say("through an inbox. For each it writes an invoice and announces it, in the")
	sh.screen.say("transaction that completes the message.")
	i := sh.invoicing
	var done int64
	err := poll(ctx, func(ctx context.Context) (ok bool, err error) {
		done, err = i.Count(ctx)
		return done >= calmOrders+killAfter, err
	})
	if err != nil {
		return fmt.Errorf("wait for invoices: %w", err)
	}
	sh.bill.knownAtKill = int64(sh.topic.count())
	pid := i.process.Pid()
	if err := i.process.Kill(); err != nil {
		return err
	}
	if sh.bill.doneAtKill, err = i.Count(ctx); err != nil {
		return err
	}
	if i.killed, err = i.Place(ctx); err != nil {
		return err
	}
	sh.screen.good("process %d got SIGKILL, with %s of %s invoices written", pid, count(sh.bill.doneAtKill), count(sh.bill.knownAtKill))
	if err := i.process.Start(ctx); err != nil {
		return err
	}
	sh.screen.say("Process %d takes its place. First the dead one has to be missed:", i.process.Pid())
	sh.screen.say("its leases end within 5 s, its membership of the consumer group within 10.")
	return nil
}

// resume shows what the next process made of what was left.
func (sh *show) resume(ctx context.Context) error {
	sh.screen.title("8. Billing goes on")
	i, known := sh.invoicing, sh.shop.written.Load()
	err := poll(ctx, func(ctx context.Context) (bool, error) {
		n, err := i.Count(ctx)
		return n >= known, err
	})
	if err != nil {
		return fmt.Errorf("wait for invoices of %s orders: %w", count(known), err)
	}
	if err := sh.stack.announced.awaitCount(ctx, int(known)); err != nil {
		return err
	}
	after, err := i.After(ctx, i.killed)
	if err != nil {
		return err
	}
	b, err := sh.billed(ctx)
	if err != nil {
		return err
	}
	sh.screen.good("invoices were written again %.1f s after the kill, by now for all orders", after.Idle.Seconds())
	sh.screen.say("%s messages came again, as the dead process had not committed their", count(b.again))
	sh.screen.say("offsets: the inbox knew them, and dropped them. %s handlers were cut off in", count(after.CutOff))
	sh.screen.say("the middle: the database has taken back what they wrote.")
	return nil
}

// garble shows a message that nobody can read.
func (sh *show) garble(ctx context.Context) error {
	customer := sh.shop.customer(14)
	sh.screen.title("9. Garbage in the topic")
	// the partition of a customer is that of any order
	first, next := sh.shop.buy(customer), sh.shop.buy(customer)
	if err := sh.shop.place(ctx, first, false); err != nil {
		return err
	}
	if err := sh.topic.await(ctx, first.orders...); err != nil {
		return err
	}
	at, err := sh.topic.garble(ctx, sh.topic.find(first.orders[0]).place.partition, customer)
	if err != nil {
		return err
	}
	sh.bill.garbage = append(sh.bill.garbage, at)
	sh.screen.say("Somebody writes what is no event, under the key %s; the", customer)
	sh.screen.say("customer's next order comes behind it, in the same partition.")
	if err := sh.shop.place(ctx, next, false); err != nil {
		return err
	}
	if err := sh.topic.await(ctx, next.orders...); err != nil {
		return err
	}
	if err := sh.awaitInvoice(ctx, next.orders[0]); err != nil {
		return err
	}
	behind := sh.topic.find(next.orders[0]).place
	sh.bill.wentOn = behind.partition == at.partition && behind.offset > at.offset
	letter, err := sh.unreadable(ctx, at)
	if err != nil {
		return err
	}
	sh.showGarbage(letter)
	return nil
}

// awaitInvoice waits until an order has its invoice.
func (sh *show) awaitInvoice(ctx context.Context, order uuid.UUID) error {
	if err := sh.stack.announced.await(ctx, order); err != nil {
		return fmt.Errorf("wait for the invoice of order %s: %w", order, err)
	}
	return nil
}

// unreadable is the dead letter of the message at a place, with its row.
func (sh *show) unreadable(ctx context.Context, at place) (store.ShowDeadResult, error) {
	message := fmt.Sprintf("%s:%d:%d", sh.stack.orders, at.partition, at.offset)
	var dead store.ShowDeadResult
	err := poll(ctx, func(ctx context.Context) (bool, error) {
		event, found, err := sh.invoicing.box.EventOf(ctx, message)
		if err != nil || !found {
			return false, err
		}
		dead, err = sh.invoicing.box.ShowDead(ctx, store.ShowDeadParams{ID: store.DeadID{Event: event}})
		return len(dead.Letters) > 0, err
	})
	if err != nil {
		return dead, fmt.Errorf("wait for the dead letter of message %s: %w", message, err)
	}
	return dead, nil
}

// showGarbage shows the dead letter of a message that nobody can read.
func (sh *show) showGarbage(dead store.ShowDeadResult) {
	l, at := dead.Letters[0], placeOf(dead.Row)
	sh.screen.good("the order has its invoice; the garbage is kept, as a dead letter:")
	sh.screen.say("  Dead letter %d of pipeline %s: %s", l.ID, l.Pipeline, l.State)
	sh.screen.fields([][2]string{
		{"place", fmt.Sprintf("topic %s, partition %d, offset %d", l.Topic, at.partition, at.offset)},
		{"died", l.LastAt.Local().Format(time.DateTime)},
		{"class", string(l.ErrorClass)},
		{"error", l.Error},
	})
	sh.screen.say("How a person looks at it, while the demo runs:")
	sh.screen.command("unset OMNIBOX_DATABASE_URL # the file says where the service is")
	sh.screen.command(fmt.Sprintf("go run ./cmd/omnibox -c %s dead show %d --payload", sh.invoicing.file, l.ID))
	sh.screen.command(fmt.Sprintf("go run ./cmd/omnibox -c %s status %s", sh.invoicing.file, billing.Inbox))
}
