package membroker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/broker"
)

// Consumer is a member of a group of consumers of a Broker. See broker.Consumer
// for what it guarantees.
type Consumer struct {
	b   *Broker
	sub broker.Subscription

	// Guarded by the broker's lock.
	group   *group
	ran     bool
	joined  bool
	paused  bool
	handing bool // a call of the handler is under way
	next    map[broker.Partition]int64
	turn    int // of the partitions, so that none is passed over
}

var _ broker.Consumer = (*Consumer)(nil)

// Consumer makes a member of a group. It fails on mistakes in sub only.
func (b *Broker) Consumer(sub broker.Subscription) (*Consumer, error) {
	if err := sub.Validate(); err != nil {
		return nil, fmt.Errorf("membroker: %w", err)
	}
	sub.MaxPoll = cmp.Or(sub.MaxPoll, broker.DefaultMaxPoll)
	sub.From = cmp.Or(sub.From, broker.Earliest)
	b.mu.Lock()
	defer b.mu.Unlock()
	g := b.groups[sub.Group]
	if g == nil {
		g = &group{committed: make(map[broker.Partition]int64), owners: make(map[broker.Partition]*Consumer)}
		b.groups[sub.Group] = g
	}
	return &Consumer{b: b, sub: sub, group: g, next: make(map[broker.Partition]int64)}, nil
}

// Run consumes, as broker.Consumer says. A consumer runs once.
func (c *Consumer) Run(ctx context.Context, handle func(ctx context.Context, poll []broker.Message) error) error {
	var again bool
	c.b.change(func() { again, c.ran = c.ran, true })
	if again {
		return errors.New("consumer has run already: make another one")
	}
	defer c.b.change(func() {
		if c.joined {
			c.group.leave(c)
		}
	})
	for {
		poll := c.poll(ctx)
		if poll == nil {
			return nil
		}
		err := handle(ctx, poll)
		c.b.change(func() { c.handing = false })
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
	}
}

// poll waits for messages of our partitions; nil once ctx has ended.
func (c *Consumer) poll(ctx context.Context) (poll []broker.Message) {
	_ = c.b.until(ctx, func() bool {
		if c.b.down {
			return false
		}
		if !c.joined {
			c.joined = true
			c.group.members = append(c.group.members, c)
		}
		if c.group.balance(c.b.topics) {
			c.b.wake()
		}
		if c.paused {
			return false
		}
		poll = c.gather()
		c.handing = len(poll) > 0
		return c.handing
	})
	return poll
}

// gather takes what there is, beginning with another partition each time.
func (c *Consumer) gather() (poll []broker.Message) {
	parts := c.group.of(c)
	for i := range parts {
		p := parts[(c.turn+i)%len(parts)]
		messages := c.b.topics[p.Topic].from(p.ID, c.next[p], c.sub.MaxPoll-len(poll))
		c.next[p] += int64(len(messages))
		poll = append(poll, messages...)
	}
	c.turn++
	return poll
}

// Commit commits offsets, as broker.Consumer says.
func (c *Consumer) Commit(ctx context.Context, done map[broker.Partition]int64) error {
	err := c.b.until(ctx, func() bool {
		if c.b.down {
			return false
		}
		for p, offset := range done {
			if c.group.owners[p] == c && offset >= c.group.committedOf(p) {
				c.group.committed[p] = offset + 1
			}
		}
		return true
	})
	if err != nil {
		return omnibox.Unreachable(fmt.Errorf("commit offsets: %w", context.Cause(ctx)))
	}
	return nil
}

// Pause stops handing out messages.
func (c *Consumer) Pause() { c.b.change(func() { c.paused = true }) }

// Resume ends a pause.
func (c *Consumer) Resume() { c.b.change(func() { c.paused = false }) }

// Status says how it stands.
func (c *Consumer) Status() broker.ConsumerStatus {
	c.b.mu.Lock()
	defer c.b.mu.Unlock()
	s := broker.ConsumerStatus{Paused: c.paused}
	for _, p := range c.group.of(c) {
		s.Assigned = append(s.Assigned, broker.Assignment{
			Partition: p, Position: c.next[p], Committed: c.group.committedOf(p),
			HighWater: int64(len(c.b.topics[p.Topic].parts[p.ID])),
		})
	}
	if c.b.down {
		s.Err = omnibox.Unreachable(errDown)
		return s
	}
	for _, t := range slices.Sorted(slices.Values(c.sub.Topics)) {
		if c.b.topics[t] == nil {
			s.Err = errors.Join(s.Err, fmt.Errorf("topic %q does not exist: create it, or correct topics", t))
		}
	}
	return s
}
