package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/google/uuid"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/broker"
	"github.com/omnibox-go/omnibox/broker/kafka"
	"github.com/omnibox-go/omnibox/dev/bench/lab"
	"github.com/omnibox-go/omnibox/inbox"
	"github.com/omnibox-go/omnibox/store"
)

// landRatio is what reading, dead letters and order may cost: at most 15%.
const landRatio = 0.85

// landTimes is how many times the events are landed: else a run would be over
// before its connections have paid.
const landTimes = 2

// poll is how many messages are landed together at most: what the worker takes.
const poll = broker.DefaultMaxPoll

// landings bring a topic into an inbox, by one member of a group, from its start
// until the last offset is committed.
func landings() []Variant {
	return []Variant{
		{Name: "land-loop", Title: "consume, insert, commit offsets: plain loop", run: runLanding(landLoop)},
		{
			Name: "land", Title: "messages landed by one consumer", Against: "land-loop",
			Goals: []Goal{{Figure: Rate, AtLeast: landRatio}}, run: runLanding(runLander),
		},
	}
}

// runLanding fills a topic, and has it landed.
func runLanding(land func(context.Context, *lab.Box, *tally) error) func(context.Context, Setup) (Sample, error) {
	return func(ctx context.Context, s Setup) (_ Sample, err error) {
		b, err := s.Lab.Box(ctx)
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, b.Close(ctx)) }()
		messages := landTimes * s.Events
		if err := publish(ctx, b, messages); err != nil {
			return nil, err
		}
		if err := b.AwaitGroups(); err != nil {
			return nil, err
		}
		if err := b.Settle(ctx); err != nil {
			return nil, err
		}
		before, t := s.Lab.Usage(), newTally(messages)
		if err := land(ctx, b, t); err != nil {
			return nil, err
		}
		return t.sample(s.Lab, before, func() error { return b.VerifyLanded(ctx, messages) })
	}
}

// publish fills the topic of a box with messages, as an outbox sends them.
func publish(ctx context.Context, b *lab.Box, messages int) error {
	publisher, err := kafka.Dial(kafka.Config{Addresses: b.Brokers}, quiet)
	if err != nil {
		return err
	}
	defer publisher.Close()
	sink := broker.NewSink(publisher, broker.Raw{})
	for from := 0; from < messages; from += batch {
		var events []*omnibox.Event
		for n := from; n < min(from+batch, messages); n++ {
			events = append(events, placed(b.Topic, n))
		}
		if err := errors.Join(sink.Handle(ctx, events)...); err != nil {
			return fmt.Errorf("publish: %w", err)
		}
	}
	return nil
}

// placed is the nth event of a topic.
func placed(topic string, n int) *omnibox.Event {
	pad := lab.PayloadBytes - len(fmt.Sprintf(`{"n": %d, "pad": ""}`, n))
	return &omnibox.Event{
		ID: uuid.New(), Topic: topic, Key: fmt.Sprintf("key-%d", n%lab.Keys), Type: "order.placed",
		Payload: json.RawMessage(fmt.Sprintf(`{"n": %d, "pad": "%s"}`, n, strings.Repeat("x", pad))),
	}
}

// runLander lands as the worker does it.
func runLander(ctx context.Context, b *lab.Box, t *tally) error {
	st, err := store.Open(ctx, b.DB, store.Config{Owner: "bench", Group: b.Topic})
	if err != nil {
		return err
	}
	reader, err := broker.NewReader(broker.ReaderConfig{})
	if err != nil {
		return err
	}
	consumer, err := kafka.NewConsumer(kafka.Config{Addresses: b.Brokers},
		broker.Subscription{Group: b.Topic, Topics: []string{b.Topic}, MaxPoll: poll}, quiet)
	if err != nil {
		return err
	}
	counted := &countedConsumer{Consumer: consumer, tally: t, done: map[broker.Partition]int64{}}
	l := inbox.Lander{
		Consumer: counted, Read: reader.Read, Table: landingTable{st, t.events}, Ack: inbox.OnPersist, Log: quiet,
	}
	runCtx, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- l.Run(runCtx) }()
	select {
	case <-t.done:
		stop()
		return <-ended
	case err := <-ended:
		return errors.Join(errors.New("lander ended"), err)
	}
}

// countedConsumer tells the clock of a run how many offsets are committed.
type countedConsumer struct {
	broker.Consumer
	tally *tally

	mu   sync.Mutex
	done map[broker.Partition]int64 // how many of each
}

// Commit commits, and counts.
func (c *countedConsumer) Commit(ctx context.Context, done map[broker.Partition]int64) error {
	if err := c.Consumer.Commit(ctx, done); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for p, offset := range done {
		c.tally.settled(int(offset + 1 - c.done[p]))
		c.done[p] = offset + 1
	}
	return nil
}

// landingTable is a table as the lander sees it. It has room for all.
type landingTable struct {
	*store.Store
	all int
}

func (t landingTable) Land(ctx context.Context, events []*omnibox.Event) (inbox.Landed, error) {
	n, err := t.Store.Land(ctx, events)
	return inbox.Landed(n), err
}

func (landingTable) Settled(context.Context, []string, bool) (map[string]bool, error) {
	return nil, errors.New("offsets do not wait here")
}

func (t landingTable) Full(ctx context.Context) (bool, error) {
	return t.Store.Full(ctx, t.all+1)
}

func (landingTable) Report(context.Context, broker.ConsumerStatus) error { return nil }
