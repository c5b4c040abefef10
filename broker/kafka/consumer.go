package kafka

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/IBM/sarama"
	"golang.org/x/sync/errgroup"

	"github.com/omnibox-go/omnibox/broker"
)

// Consumer is a member of a consumer group, by way of sarama's. See
// broker.Consumer for what it guarantees.
//
// # How it works
//
// sarama runs a goroutine for each partition. It moves what has arrived, a chunk
// at a time, to a line (line.go), from which some goroutines take polls of different
// partitions and call the handler. A full line stops the fetching, so a slow handler and a pause are
// the same thing to the broker: heartbeats go on, fetches wait. Questions and
// commits have connections of their own, since a broker answers those of one
// connection in turn, and joining a group may take it long to answer.
//
// # What is not obvious
//
//   - Rebalances are cooperative: a member keeps working on the partitions that
//     it keeps (sarama's cooperative-sticky strategy, the one of Kafka's own
//     client). If another program's members in the group do not know that, we
//     join as they do, and every rebalance interrupts all partitions for a moment.
//   - sarama's own commits report errors to nobody in particular, so offsets are
//     committed here, under sarama's member id and generation.
//   - Only topics that exist are subscribed to: one that does not would fail the
//     group as a whole. The others are looked for every other second.
//   - Messages of transactions that were aborted are not handed out. A
//     transaction's own marker takes an offset, so the lag of a partition whose
//     producers use transactions may stay at 1.
type Consumer struct {
	conf      *sarama.Config
	addresses []string
	sub       broker.Subscription
	log       *slog.Logger
	line      *line
	turn      chan struct{} // holds a token while offsets are being committed

	mu      sync.Mutex
	running bool // or has run
	side    sarama.Client
	session sarama.ConsumerGroupSession
	claims  map[broker.Partition]*claim
	// ends of the partitions before we joined, if that is where to begin.
	ends map[broker.Partition]int64
	// assigned is what the cooperative strategy told last; nil if it has not.
	assigned map[string][]int32
	eager    bool // some members of the group do not know cooperative rebalances
	trouble  trouble
	tasks    sync.WaitGroup // questions that outlive those who asked
}

var _ broker.Consumer = (*Consumer)(nil)

// Times of the group. Their sum bounds nothing: each has its own reason.
const (
	// A member that has not been heard of for so long is gone. It is what the
	// others wait after a crash.
	sessionTimeout = 10 * time.Second
	// Heartbeats tell of a rebalance, so it takes about as long to begin.
	heartbeatEvery = time.Second
	// How long the others wait for the call of the handler under way.
	rebalanceTimeout = 30 * time.Second
	// Joining is answered when all have joined: at the end of the above.
	joinSlack = 5 * time.Second
	// Leaving tells the others at once, if the broker answers so soon.
	leaveTimeout = 5 * time.Second
)

// NewConsumer makes a consumer. It fails on mistakes in the configuration only:
// connections are made by Run.
func NewConsumer(cfg Config, sub broker.Subscription, log *slog.Logger) (*Consumer, error) {
	if err := CheckSubscription(&sub); err != nil {
		return nil, fmt.Errorf("kafka: %w", err)
	}
	conf, err := cfg.sarama()
	if err != nil {
		return nil, fmt.Errorf("kafka: %w", err)
	}
	sub.MaxPoll = cmp.Or(sub.MaxPoll, broker.DefaultMaxPoll)
	consuming(conf, sub.From)
	return &Consumer{
		conf: conf, addresses: cfg.Addresses, sub: sub, log: log, line: newLine(sub.MaxPoll),
		turn: make(chan struct{}, 1), claims: make(map[broker.Partition]*claim),
	}, conf.Validate()
}

// CheckSubscription reports every mistake in a subscription: those that it has for
// any broker, or else names that no topic of Kafka can have. The error joins a
// *broker.FieldError for each.
func CheckSubscription(sub *broker.Subscription) error {
	if err := sub.Validate(); err != nil {
		return err
	}
	var errs []error
	for _, t := range sub.Topics {
		if err := checkTopic(t); err != nil {
			errs = append(errs, broker.Mistake("topics", "%w", err))
		}
	}
	return errors.Join(errs...)
}

// consuming sets what a consumer needs otherwise than a publisher.
func consuming(conf *sarama.Config, from broker.Start) {
	conf.Net.MaxOpenRequests = 5
	conf.Net.ReadTimeout = rebalanceTimeout + joinSlack
	conf.Metadata.Full = false
	conf.Metadata.AllowAutoTopicCreation = false
	conf.Metadata.RefreshFrequency = time.Minute // finds partitions that were added
	c := &conf.Consumer
	c.Offsets.Initial = sarama.OffsetOldest
	if from == broker.Latest {
		c.Offsets.Initial = sarama.OffsetNewest
	}
	c.Offsets.AutoCommit.Enable = false
	c.Return.Errors = true
	c.IsolationLevel = sarama.ReadCommitted
	c.Group.Session.Timeout = sessionTimeout
	c.Group.Heartbeat.Interval = heartbeatEvery
	c.Group.Rebalance.Timeout = rebalanceTimeout
	c.Group.Rebalance.Retry.Backoff = 500 * time.Millisecond
	c.Retry.Backoff = 500 * time.Millisecond
	// A partition that waits for room in the line holds up the others of its
	// broker for so long, even when they are to be given up. Then it is fetched
	// apart, and to join the others again costs it a tenth of a second.
	c.MaxProcessingTime = time.Second
}

// Run consumes, as broker.Consumer says. A consumer runs once.
func (c *Consumer) Run(ctx context.Context, handle func(ctx context.Context, poll []broker.Message) error) error {
	c.mu.Lock()
	again := c.running
	c.running = true
	c.mu.Unlock()
	if again {
		return errors.New("consumer has run already: make another one")
	}
	inside, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var failed error
	var tasks sync.WaitGroup
	delivered := make(chan struct{})
	tasks.Go(func() {
		defer close(delivered)
		failed = c.deliver(ctx, inside, handle)
		stop(failed)
	})
	// Connections outlive the handler for as long as leaving may take.
	life, end := context.WithCancelCause(context.WithoutCancel(ctx))
	tasks.Go(func() {
		<-delivered
		wait(life, leaveTimeout)
		end(errClosedConsumer)
	})
	c.stay(inside, life)
	<-delivered
	end(errClosedConsumer)
	tasks.Wait()
	c.tasks.Wait()
	if ctx.Err() != nil {
		return nil
	}
	return failed
}

var errClosedConsumer = errors.New("consumer has ended")

// pollsAtOnce is how many polls are handled at a time: two keep the database busy while
// the offsets of a third are committed.
const pollsAtOnce = 3

// deliver calls the handler with polls, until inside ends or a call fails.
func (c *Consumer) deliver(ctx, inside context.Context, handle func(context.Context, []broker.Message) error) error {
	inside, end := context.WithCancel(inside)
	defer end()
	var all errgroup.Group
	for range pollsAtOnce {
		all.Go(func() error {
			for {
				p := c.line.take(inside)
				if p == nil {
					return nil
				}
				err := handle(ctx, p.messages)
				if err != nil {
					end() // before what is behind can be taken
				}
				c.line.done(p)
				if err != nil {
					return err
				}
			}
		})
	}
	return all.Wait()
}

// Pause stops handing out messages.
func (c *Consumer) Pause() { c.line.change(func() { c.line.paused = true }) }

// Resume ends a pause.
func (c *Consumer) Resume() { c.line.change(func() { c.line.paused = false }) }

// Status says how it stands.
func (c *Consumer) Status() broker.ConsumerStatus {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.line.mu.Lock()
	defer c.line.mu.Unlock()
	s := broker.ConsumerStatus{Paused: c.line.paused, Err: c.trouble.err()}
	for _, cl := range c.claims {
		s.Assigned = append(s.Assigned, cl.assignment())
	}
	slices.SortFunc(s.Assigned, func(a, b broker.Assignment) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.ID, b.ID))
	})
	return s
}

// wait until d has passed or ctx ends.
func wait(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
