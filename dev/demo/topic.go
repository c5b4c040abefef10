package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// topic is a topic of what becomes of orders, and all that has been consumed from
// it. It uses another client library than the workers do: it is a witness.
type topic struct {
	name   string
	client *kgo.Client
	done   chan struct{} // closed when consuming has ended

	mu         sync.Mutex
	deliveries []delivery
	seen       map[uuid.UUID]bool
	changed    chan struct{} // closed, and replaced, when something has come
}

const partitions = 6

// openTopic creates a topic and begins to consume it from its start.
func openTopic(ctx context.Context, brokers []string, name string) (*topic, error) {
	client, err := kgo.NewClient(
		kgo.SeedBrokers(brokers...), kgo.ConsumeTopics(name), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchMaxWait(500*time.Millisecond), kgo.RetryTimeout(10*time.Second),
		kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		return nil, err
	}
	if err := createTopic(ctx, client, name); err != nil {
		client.Close()
		return nil, fmt.Errorf("create topic %s: %w", name, err)
	}
	t := &topic{name: name, client: client, done: make(chan struct{}), seen: map[uuid.UUID]bool{}, changed: make(chan struct{})}
	go func() {
		defer close(t.done)
		t.consume(context.WithoutCancel(ctx))
	}()
	return t, nil
}

func createTopic(ctx context.Context, client *kgo.Client, name string) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	req := kmsg.NewPtrCreateTopicsRequest()
	spec := kmsg.NewCreateTopicsRequestTopic()
	spec.Topic, spec.NumPartitions, spec.ReplicationFactor = name, partitions, -1 // the broker's default
	req.Topics = append(req.Topics, spec)
	resp, err := req.RequestWith(ctx, client)
	if err != nil {
		return err
	}
	return kerr.ErrorForCode(resp.Topics[0].ErrorCode)
}

// remove deletes the topic.
func (t *topic) remove(ctx context.Context) error {
	req := kmsg.NewPtrDeleteTopicsRequest()
	spec := kmsg.NewDeleteTopicsRequestTopic()
	spec.Topic = &t.name
	req.Topics, req.TopicNames = append(req.Topics, spec), []string{t.name} // for new brokers and for old ones
	_, err := req.RequestWith(ctx, t.client)
	return err
}

// close ends consuming.
func (t *topic) close() {
	t.client.Close()
	<-t.done
}

func (t *topic) consume(ctx context.Context) {
	for {
		fetches := t.client.PollFetches(ctx)
		if fetches.IsClientClosed() {
			return
		}
		now := time.Now()
		var came []delivery
		fetches.EachRecord(func(r *kgo.Record) {
			d := delivery{customer: string(r.Key), place: place{r.Partition, r.Offset}}
			for _, h := range r.Headers {
				switch h.Key {
				case "causation_id":
					d.cause = string(h.Value)
				case "correlation_id":
					d.correlation = string(h.Value)
				}
			}
			var o orderPlaced
			if json.Unmarshal(r.Value, &o) == nil { // else it is a stray, of no order
				d.order, d.number, d.took = o.Order, o.Number, now.Sub(o.PlacedAt)
			}
			came = append(came, d)
		})
		t.note(came)
	}
}

func (t *topic) note(came []delivery) {
	if len(came) == 0 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.deliveries = append(t.deliveries, came...)
	for _, d := range came {
		if d.order != uuid.Nil {
			t.seen[d.order] = true
		}
	}
	close(t.changed)
	t.changed = make(chan struct{})
}

// garble writes a message that is no event of any kind into a partition.
func (t *topic) garble(ctx context.Context, partition int32, key string) (place, error) {
	r := &kgo.Record{Topic: t.name, Partition: partition, Key: []byte(key), Value: []byte("\xff\xfenot an event")}
	if err := t.client.ProduceSync(ctx, r).FirstErr(); err != nil {
		return place{}, fmt.Errorf("write garbage to %s: %w", t.name, err)
	}
	return place{r.Partition, r.Offset}, nil
}

// find is the first delivery of an order.
func (t *topic) find(order uuid.UUID) delivery {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, d := range t.deliveries {
		if d.order == order {
			return d
		}
	}
	return delivery{}
}

// all is what has come so far.
func (t *topic) all() []delivery {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.deliveries)
}

// count is how many orders have come so far.
func (t *topic) count() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.seen)
}

// await waits for orders.
func (t *topic) await(ctx context.Context, orders ...uuid.UUID) error {
	missing := slices.Clone(orders)
	return t.until(ctx, func() (bool, string) {
		missing = slices.DeleteFunc(missing, func(id uuid.UUID) bool { return t.seen[id] })
		return len(missing) == 0, fmt.Sprintf("missing in topic %s: %s", t.name, count(len(missing)))
	})
}

// awaitCount waits until n orders have come.
func (t *topic) awaitCount(ctx context.Context, n int) error {
	return t.until(ctx, func() (bool, string) {
		return len(t.seen) >= n, fmt.Sprintf("orders in topic %s: %d of %d", t.name, len(t.seen), n)
	})
}

// until waits for a condition, which looks at the topic under its lock and
// says how far it is.
func (t *topic) until(ctx context.Context, ok func() (bool, string)) error {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, errPatience)
	defer cancel()
	for {
		t.mu.Lock()
		done, missing := ok()
		changed := t.changed
		t.mu.Unlock()
		if done {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("%s: %w", missing, context.Cause(ctx))
		}
	}
}
