package kafka

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/IBM/sarama"

	"github.com/omnibox-go/omnibox/broker"
)

const (
	// watchEvery is how often topics are looked for that were missing.
	watchEvery = 2 * time.Second
	// complainEvery is how often the same trouble is logged.
	complainEvery = 10 * time.Second
	// believeMissing is how many times in a row a topic that was there must be
	// missing: a broker that has just started may not have heard of it.
	believeMissing = 3
)

// existing gives the topics that exist, and reports those that do not.
func (c *Consumer) existing(side sarama.Client) ([]string, error) {
	b := side.LeastLoadedBroker()
	if b == nil {
		return nil, sarama.ErrOutOfBrokers
	}
	resp, err := b.GetMetadata(sarama.NewMetadataRequest(c.conf.Version, c.sub.Topics))
	if err != nil {
		_ = b.Close()
		return nil, fmt.Errorf("fetch metadata: %w", err)
	}
	var there []string
	absent := make(map[string]error)
	for _, t := range resp.Topics {
		switch {
		case t.Err == sarama.ErrUnknownTopicOrPartition:
			absent[t.Name] = missing(t.Name, "the inbox's topics")
		case t.Err != sarama.ErrNoError && t.Err != sarama.ErrLeaderNotAvailable:
			absent[t.Name] = fmt.Errorf("topic %q: %w", t.Name, t.Err)
		default:
			there = append(there, t.Name)
		}
	}
	c.mu.Lock()
	c.trouble.absent = absent
	c.mu.Unlock()
	for _, t := range slices.Sorted(maps.Keys(absent)) {
		c.warn(absent[t])
	}
	slices.Sort(there)
	return there, nil
}

// watch looks after what sarama does not, until ctx ends or there are other
// topics than those subscribed to.
func (c *Consumer) watch(ctx context.Context, side sarama.Client, topics []string) error {
	for gone := 0; ; {
		began := time.Now()
		wait(ctx, watchEvery)
		if isClosed(ctx.Done()) {
			return nil
		}
		there, err := c.existing(side)
		if err != nil {
			c.complain("look for topics", err)
			continue
		}
		isNew := func(t string) bool { return !slices.Contains(topics, t) }
		switch {
		case slices.ContainsFunc(there, isNew):
			return errRejoin
		case len(there) < len(topics):
			if gone++; gone == believeMissing {
				return errRejoin
			}
		default:
			gone = 0
		}
		c.measure(side)
		c.mu.Lock()
		c.trouble.calm(began)
		c.mu.Unlock()
	}
}

// measure keeps the high-water marks up of partitions that are not fetched,
// since the line is full.
func (c *Consumer) measure(side sarama.Client) {
	c.mu.Lock()
	claims := slices.Collect(maps.Values(c.claims))
	c.mu.Unlock()
	c.line.mu.Lock()
	flows := !c.line.paused && c.line.waiting < c.line.most
	c.line.mu.Unlock()
	if flows {
		return
	}
	for _, cl := range claims {
		if newest, err := side.GetOffset(cl.Topic, cl.ID, sarama.OffsetNewest); err == nil {
			cl.newest.Store(newest)
		}
	}
}

// trouble is what keeps messages away. It is guarded by the consumer's lock.
type trouble struct {
	absent     map[string]error // by topic
	general    error
	partitions map[broker.Partition]error
	latest     time.Time            // of the above
	logged     map[string]time.Time // when each was
}

func (t *trouble) err() error {
	var errs []error
	for _, topic := range slices.Sorted(maps.Keys(t.absent)) {
		errs = append(errs, t.absent[topic])
	}
	if t.general != nil {
		errs = append(errs, t.general)
	}
	for _, err := range t.partitions {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// joined says that we are in the group.
func (t *trouble) joined() { t.general = nil }

// calm forgets what has not been heard of since.
func (t *trouble) calm(since time.Time) {
	if t.latest.Before(since) {
		t.general = nil
		clear(t.partitions)
	}
}

// delivers says that a partition is well.
func (c *Consumer) delivers(p broker.Partition) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.trouble.partitions) > 0 {
		delete(c.trouble.partitions, p)
	}
}

// hear takes in an error that sarama met while consuming.
func (c *Consumer) hear(err error) {
	if errors.Is(err, sarama.ErrOffsetOutOfRange) {
		return // the next claim says what was lost
	}
	e, ok := errors.AsType[*sarama.ConsumerError](err)
	if !ok {
		c.complain("consume", err)
		return
	}
	p := broker.Partition{Topic: e.Topic, ID: e.Partition}
	err = fmt.Errorf("consume %s/%d: %w", p.Topic, p.ID, e.Err)
	c.mu.Lock()
	if c.trouble.partitions == nil {
		c.trouble.partitions = make(map[broker.Partition]error)
	}
	c.trouble.partitions[p], c.trouble.latest = err, time.Now()
	c.mu.Unlock()
	c.warn(err)
}

// complain remembers and logs what keeps us from consuming.
func (c *Consumer) complain(doing string, err error) {
	err = fmt.Errorf("%s: %w", doing, err)
	c.mu.Lock()
	c.trouble.general, c.trouble.latest = err, time.Now()
	c.mu.Unlock()
	c.warn(err)
}

// warn logs an error, unless it did so just now.
func (c *Consumer) warn(err error) {
	now := time.Now()
	c.mu.Lock()
	if c.trouble.logged == nil {
		c.trouble.logged = make(map[string]time.Time)
	}
	again := now.Sub(c.trouble.logged[err.Error()]) < complainEvery
	if !again {
		maps.DeleteFunc(c.trouble.logged, func(_ string, at time.Time) bool { return now.Sub(at) >= complainEvery })
		c.trouble.logged[err.Error()] = now
	}
	c.mu.Unlock()
	if !again {
		c.log.Warn("consumer is in trouble, and tries again", slog.String("group", c.sub.Group), slog.Any("error", err))
	}
}
