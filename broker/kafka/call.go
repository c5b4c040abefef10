package kafka

import (
	"context"
	"errors"
	"fmt"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/broker"
)

// call is one Publish under way. Everything in it is guarded by Publisher.mu,
// but for ctx, records and done; once it has ended, errs is the caller's and
// nobody touches it.
type call struct {
	ctx   context.Context
	items []item
	errs  []error
	open  int // items without a result
	done  chan struct{}
	ended bool
	// failed keys: no later record of them may be sent.
	failed map[omnibox.OrderKey]bool
}

// item is a record on its way.
type item struct {
	call   *call
	index  int
	record *broker.Record
	size   int
	// topic and, once it is known, part are where the item waits.
	topic   *topic
	part    *partition
	settled bool
	// sent: the record was given to a broker, and it is not known that it was
	// refused.
	sent bool
}

func newCall(ctx context.Context, records []broker.Record) *call {
	c := &call{
		ctx: ctx, items: make([]item, len(records)), errs: make([]error, len(records)),
		open: len(records), done: make(chan struct{}),
	}
	for i := range records {
		c.items[i] = item{call: c, index: i, record: &records[i], size: recordSize(&records[i])}
	}
	return c
}

func (it *item) key() omnibox.OrderKey {
	return omnibox.OrderKey{Topic: it.record.Topic, Key: string(it.record.Key)}
}

// gone tells whether the item must not be sent any more.
func (it *item) gone() bool { return it.settled || it.call.ended || it.call.ctx.Err() != nil }

// settle gives an item its result.
func (it *item) settle(err error) {
	if it.settled || it.call.ended {
		return
	}
	it.settled = true
	it.call.errs[it.index] = err
	it.call.open--
	if it.call.open == 0 {
		close(it.call.done)
	}
}

// fail settles an item whose turn it was; the rest of its key is not sent.
func (it *item) fail(err error) {
	it.settle(err)
	if it.call.failed == nil {
		it.call.failed = make(map[omnibox.OrderKey]bool)
	}
	it.call.failed[it.key()] = true
}

// spared settles an item if an earlier one of its key has failed.
func (it *item) spared() bool {
	if it.call.failed == nil || !it.call.failed[it.key()] {
		return false
	}
	it.settle(omnibox.ErrNotSent)
	return true
}

// end decides what is still open when the call's context has ended, and takes
// it out of every queue.
//
// What was given to a broker may have arrived. The rest was not sent: if the
// time is up, that is the fault of the destination, which the first record of
// each key says; if the caller no longer wants it, it is nobody's.
func (c *call) end() {
	cause := context.Cause(c.ctx)
	cancelled := errors.Is(c.ctx.Err(), context.Canceled)
	touched, topics := make(map[*partition]bool), make(map[*topic]bool)
	for i := range c.items {
		it := &c.items[i]
		if it.settled {
			continue
		}
		if it.part != nil {
			touched[it.part] = true
		} else if it.topic != nil {
			topics[it.topic] = true
		}
		switch {
		case it.sent:
			it.fail(omnibox.Unreachable(fmt.Errorf("no answer in time, the record may have arrived: %w", it.trouble(cause))))
		case it.spared():
		case cancelled:
			it.fail(fmt.Errorf("%w: %w", omnibox.ErrNotSent, cause))
		default:
			it.fail(omnibox.Unreachable(fmt.Errorf("not sent in time: %w", it.trouble(cause))))
		}
	}
	c.ended = true
	for t := range topics {
		t.waiting = without(t.waiting, c)
	}
	for part := range touched {
		part.queue = without(part.queue, c)
		if part.batch != nil && !part.flying && part.batch.stale() {
			part.dissolve()
		}
	}
}

// trouble is what keeps the item from being sent, as far as it is known.
func (it *item) trouble(cause error) error {
	switch {
	case it.part != nil && it.part.lastErr != nil:
		return fmt.Errorf("%w: %w", cause, it.part.lastErr)
	case it.part == nil && it.topic != nil && it.topic.lastErr != nil:
		return fmt.Errorf("%w: %w", cause, it.topic.lastErr)
	}
	return cause
}

// without is the queue less the items of a call.
func without(queue []*item, c *call) []*item {
	rest := queue[:0]
	for _, it := range queue {
		if it.call != c {
			rest = append(rest, it)
		}
	}
	clear(queue[len(rest):])
	return rest
}
