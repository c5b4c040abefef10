// Package kafka publishes to Kafka and consumes from it; Consumer says how the
// latter works. It publishes by way of sarama's connections and protocol, but
// not of its producers: those send one call as several requests, let later
// records pass a failed one, and give every record of a refused batch the same
// error.
//
// # How publishing works
//
// Every partition has a line of records and at most one batch in flight. A
// leader has one request in flight, with a batch of each of its partitions;
// what arrives meanwhile, from any call, goes together into the next. Batches
// carry the sequence of an idempotent producer, so that a resend after an
// unknown outcome is recognized; a sequence that may be in the log is never
// used for other records.
//
// A goroutine sends to a leader while there is something to send (leader.go);
// another looks after whatever cannot be sent (mend.go): it asks for metadata,
// limits and producer ids, at a growing interval, and frees the partitions
// whose leader it has found. Both end when they have nothing to do. All state
// is guarded by one mutex, which nobody holds while waiting for anything.
//
// # What is not obvious
//
//   - A topic that does not exist is reported by brokers that have just not
//     heard of it, so it is believed after a few seconds only. Its events get a
//     transient error: tried again, counted, and dead in the end.
//   - An event fails by its size before it is sent only if the topic's limit
//     was read within the last seconds. If it may not be read, or records are
//     compressed, the broker decides: a large record goes alone.
//   - There is no linger: batches form while a request is under way.
package kafka

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/IBM/sarama"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/broker"
)

var errClosed = errors.New("publisher is closed")

// Publisher sends records to Kafka as an idempotent producer with acks=all.
// See broker.Publisher for what it guarantees.
type Publisher struct {
	conf     *sarama.Config
	codec    sarama.CompressionCodec
	timeout  int32         // that a broker has for a batch, in ms
	patience time.Duration // until a missing topic is believed
	cluster  *cluster
	log      *slog.Logger

	life  context.Context // of the connections; ends with Close
	end   context.CancelCauseFunc
	calls sync.WaitGroup // of Publish
	tasks sync.WaitGroup // senders, the mender, and questions
	wake  chan struct{}  // for the mender

	mu       sync.Mutex
	closed   bool
	mending  bool
	topics   map[string]*topic
	leaders  map[int32]*leader
	producer producer // the latest
	silent   bool     // the cluster did not answer when last asked
}

var _ broker.Publisher = (*Publisher)(nil)

// Dial makes a publisher. It fails on mistakes in the configuration only, and
// does not wait for a broker: connections are made when they are needed, and
// made again when they break.
func Dial(cfg Config, log *slog.Logger) (*Publisher, error) {
	conf, err := cfg.sarama()
	if err != nil {
		return nil, fmt.Errorf("kafka: %w", err)
	}
	life, end := context.WithCancelCause(context.Background()) //nolint:forbidigo // ends with Close
	d := &dialer{life: life}
	d.Timeout = conf.Net.DialTimeout
	conf.Net.Proxy.Enable, conf.Net.Proxy.Dialer = true, d
	return &Publisher{
		conf: conf, codec: cfg.codec(), timeout: int32(cfg.requestTimeout().Milliseconds()), patience: 3 * time.Second,
		cluster: newCluster(conf, cfg.Addresses), log: log,
		life: life, end: end, wake: make(chan struct{}, 1),
		topics: make(map[string]*topic), leaders: make(map[int32]*leader),
	}, nil
}

// Publish sends records, as broker.Publisher says. It blocks until every one
// is decided, at the latest when ctx ends. The records must not be changed
// afterwards.
func (p *Publisher) Publish(ctx context.Context, records []broker.Record) []error {
	c := newCall(ctx, records)
	if len(records) == 0 {
		return c.errs
	}
	if !p.admit(c) {
		for i := range c.errs {
			c.errs[i] = fmt.Errorf("%w: %w", errClosed, omnibox.ErrNotSent)
		}
		return c.errs
	}
	defer p.calls.Done()
	select {
	case <-c.done:
	case <-ctx.Done():
		p.mu.Lock()
		defer p.mu.Unlock()
		c.end()
	}
	return c.errs
}

// admit puts the records of a call in line.
func (p *Publisher) admit(c *call) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return false
	}
	p.calls.Add(1)
	if c.ctx.Err() != nil {
		return true // there is nothing to do but to end it
	}
	now := time.Now()
	var t *topic
	for i := range c.items {
		it := &c.items[i]
		if it.spared() {
			continue
		}
		if t == nil || t.name != it.record.Topic {
			if err := checkTopic(it.record.Topic); err != nil {
				it.fail(fault(omnibox.ClassPermanent, err))
				continue
			}
			t = p.topic(it.record.Topic, now)
		}
		it.topic = t
		p.place(it, now)
	}
	return true
}

// topic gives what is known of a topic, and has it looked up if that is old.
func (p *Publisher) topic(name string, now time.Time) *topic {
	t := p.topics[name]
	if t == nil {
		t = &topic{name: name}
		p.topics[name] = t
	}
	if t.ready() && now.Sub(t.refreshed) > refreshEvery && !t.overdue {
		t.overdue = true
		p.mend()
	}
	return t
}

// place puts an item in the line of its partition, or of its topic while that
// is not known.
func (p *Publisher) place(it *item, now time.Time) {
	t := it.topic
	if it.size > maxRecordBytes {
		it.fail(fault(omnibox.ClassPermanent, fmt.Errorf("record of %d bytes is larger than any broker takes: %w", it.size, sarama.ErrMessageSizeTooLarge)))
		return
	}
	if t.ready() && t.tooLarge(it.size, p.codec) {
		if now.Sub(t.described) <= trustLimit {
			it.fail(fault(omnibox.ClassPermanent, fmt.Errorf("record of %d bytes exceeds max.message.bytes of topic %q, %d: %w",
				it.size+batchOverhead, t.name, t.limit, sarama.ErrMessageSizeTooLarge)))
			return
		}
		t.stale = true
	}
	if !t.ready() {
		t.waiting = append(t.waiting, it)
		p.mend()
		return
	}
	it.part = t.parts[partitionOf(it.record.Key, len(t.parts))]
	it.part.queue = append(it.part.queue, it)
	p.arm(it.part)
}

// arm sees to it that what waits for a partition gets sent.
func (p *Publisher) arm(part *partition) {
	switch {
	case part.flying || part.listed || !part.busy():
	case part.stalled:
		p.mend()
	default:
		part.listed = true
		part.leader.ready = append(part.leader.ready, part)
		if !part.leader.sending {
			part.leader.sending = true
			p.tasks.Go(func() { p.send(part.leader) })
		}
	}
}

// Probe returns nil if a broker answers. It sends no record.
func (p *Publisher) Probe(ctx context.Context) error {
	err := p.question(ctx, func() error {
		return p.cluster.ask(ctx, func(b *sarama.Broker) error {
			_, err := b.ApiVersions(&sarama.ApiVersionsRequest{})
			return err
		})
	})
	if err != nil {
		return omnibox.Unreachable(fmt.Errorf("probe kafka: %w", err))
	}
	return nil
}

// question runs f, which may not heed ctx at once, and waits until ctx ends.
func (p *Publisher) question(ctx context.Context, f func() error) error {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return errClosed
	}
	answer := make(chan error, 1)
	p.tasks.Go(func() { answer <- f() })
	p.mu.Unlock()
	select {
	case err := <-answer:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Close waits for calls under way and gives up the connections. Later calls
// send nothing.
func (p *Publisher) Close() error {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.calls.Wait()
	p.end(errClosed)
	p.tasks.Wait()
	p.cluster.close()
	for _, l := range p.leaders {
		l.disconnect()
	}
	return nil
}
