// Package membroker is a broker in memory, for tests and for trying things
// out. It keeps the promises of broker.Publisher and broker.Consumer, as the
// suites in brokertest show, and fails on request.
package membroker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/broker"
)

var (
	errDown   = errors.New("broker is down")
	errLost   = errors.New("answer of the broker was lost")
	errClosed = errors.New("publisher is closed")
)

// Broker keeps what was published to it. Publishing makes a topic that does not
// exist. Its methods are safe for concurrent use, and it never waits while it holds a lock, so that
// it works in a synctest bubble.
type Broker struct {
	mu      sync.Mutex
	changed chan struct{} // closed, and replaced, at every change
	topics  map[string]*topic
	groups  map[string]*group
	calls   sync.WaitGroup
	closed  bool

	down   bool
	lose   bool
	delay  time.Duration
	refuse func(broker.Record) error
}

var _ broker.Publisher = (*Broker)(nil)

// New makes an empty broker.
func New() *Broker {
	return &Broker{changed: make(chan struct{}), topics: make(map[string]*topic), groups: make(map[string]*group)}
}

// SetDown makes the broker unreachable, or reachable again.
func (b *Broker) SetDown(down bool) { b.change(func() { b.down = down }) }

// SetLoseAnswers makes the broker append records without anyone hearing of it:
// their outcome is unknown.
func (b *Broker) SetLoseAnswers(lose bool) { b.change(func() { b.lose = lose }) }

// SetDelay makes every call take at least d.
func (b *Broker) SetDelay(d time.Duration) { b.change(func() { b.delay = d }) }

// SetRefuse makes the broker refuse records for which refuse returns an error,
// which is the error of that record: permanent, unless it carries another
// class. Nil refuses none.
func (b *Broker) SetRefuse(refuse func(broker.Record) error) { b.change(func() { b.refuse = refuse }) }

// Records of a topic in the order in which they were appended.
func (b *Broker) Records(topic string) []broker.Record {
	b.mu.Lock()
	defer b.mu.Unlock()
	if t := b.topics[topic]; t != nil {
		return slices.Clone(t.records)
	}
	return nil
}

// Wait blocks until the topic has at least n records or ctx ends.
func (b *Broker) Wait(ctx context.Context, topic string, n int) error {
	return b.until(ctx, func() bool { return b.topics[topic] != nil && len(b.topics[topic].records) >= n || n <= 0 })
}

// Publish appends records, as broker.Publisher says. While the broker is down
// it waits for it until ctx ends.
func (b *Broker) Publish(ctx context.Context, records []broker.Record) []error {
	errs := make([]error, len(records))
	if !b.begin() {
		for i := range errs {
			errs[i] = fmt.Errorf("%w: %w", errClosed, omnibox.ErrNotSent)
		}
		return errs
	}
	defer b.calls.Done()
	b.pause(ctx)
	failed := make(map[omnibox.OrderKey]bool)
	for i, r := range records {
		key := omnibox.OrderKey{Topic: r.Topic, Key: string(r.Key)}
		if failed[key] {
			errs[i] = omnibox.ErrNotSent
			continue
		}
		errs[i] = b.publish(ctx, r)
		failed[key] = errs[i] != nil
	}
	return errs
}

// publish appends one record once the broker is up.
func (b *Broker) publish(ctx context.Context, r broker.Record) error {
	var err error
	waited := b.until(ctx, func() bool {
		if b.down {
			return false
		}
		err = b.append(r)
		return true
	})
	switch {
	case waited == nil:
		return err
	case errors.Is(ctx.Err(), context.Canceled):
		return fmt.Errorf("%w: %w", context.Cause(ctx), omnibox.ErrNotSent)
	default:
		return omnibox.Unreachable(fmt.Errorf("%w: %w", errDown, context.Cause(ctx)))
	}
}

// append is called with the lock held.
func (b *Broker) append(r broker.Record) error {
	if b.refuse != nil {
		if err := b.refuse(r); err != nil {
			if _, ok := errors.AsType[*omnibox.Error](err); ok {
				return err
			}
			return omnibox.Permanent(err)
		}
	}
	b.log(r.Topic).publish(r)
	b.wake()
	if b.lose {
		return omnibox.Unreachable(errLost)
	}
	return nil
}

// Probe returns an error while the broker is down.
func (b *Broker) Probe(ctx context.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.closed:
		return omnibox.Unreachable(errClosed)
	case b.down:
		return omnibox.Unreachable(errDown)
	}
	return ctx.Err()
}

// Close waits for calls under way and refuses later ones. What was published
// can still be read.
func (b *Broker) Close() error {
	b.change(func() { b.closed = true })
	b.calls.Wait()
	return nil
}

// begin admits a call.
func (b *Broker) begin() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return false
	}
	b.calls.Add(1)
	return true
}

// pause lets a call take its time.
func (b *Broker) pause(ctx context.Context) {
	b.mu.Lock()
	d := b.delay
	b.mu.Unlock()
	if d <= 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// until calls done, with the lock held, now and after every change, until it
// returns true or ctx ends. Nothing is tried once ctx has ended.
func (b *Broker) until(ctx context.Context, done func() bool) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		b.mu.Lock()
		ok, changed := done(), b.changed
		b.mu.Unlock()
		if ok {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
		}
	}
}

func (b *Broker) change(f func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f()
	b.wake()
}

func (b *Broker) wake() {
	close(b.changed)
	b.changed = make(chan struct{})
}

// clone makes the record independent of the caller's buffers.
func clone(r broker.Record) broker.Record {
	r.Key, r.Value, r.Headers = slices.Clone(r.Key), slices.Clone(r.Value), slices.Clone(r.Headers)
	for i, h := range r.Headers {
		r.Headers[i].Value = slices.Clone(h.Value)
	}
	return r
}
