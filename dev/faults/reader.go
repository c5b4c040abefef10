package faults

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Delivery is one record of the topic.
type Delivery struct {
	ID        uuid.UUID
	Key       string
	N         int
	Partition int32
	Offset    int64
	// At is the time of the record: the broker's, if the topic says so.
	At time.Time
}

// Reader reads a topic from its beginning and remembers every record, in order.
type Reader struct {
	client *kgo.Client
	done   chan struct{}

	mu    sync.Mutex
	all   []Delivery
	most  map[string]int // the highest N, by key
	seen  map[uuid.UUID]struct{}
	err   error
	moved chan struct{} // closed and replaced with every batch
}

// StartReader begins to read.
func StartReader(ctx context.Context, topic string, brokers ...string) (*Reader, error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.ConsumeTopics(topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(100*time.Millisecond),
		kgo.RetryBackoffFn(func(int) time.Duration { return 100 * time.Millisecond }),
		kgo.MetadataMinAge(100*time.Millisecond))
	if err != nil {
		return nil, err
	}
	r := &Reader{
		client: client, done: make(chan struct{}), most: map[string]int{}, seen: map[uuid.UUID]struct{}{},
		moved: make(chan struct{}),
	}
	go r.run(ctx)
	return r, nil
}

func (r *Reader) run(ctx context.Context) {
	defer close(r.done)
	for {
		fetches := r.client.PollFetches(ctx)
		if fetches.IsClientClosed() || ctx.Err() != nil {
			return
		}
		var batch []Delivery // errors are the outages that we make: the client goes on
		var err error
		fetches.EachRecord(func(record *kgo.Record) {
			d, bad := delivery(record)
			if bad != nil {
				err = bad
				return
			}
			batch = append(batch, d)
		})
		r.add(batch, err)
	}
}

func delivery(record *kgo.Record) (Delivery, error) {
	d := Delivery{Key: string(record.Key), Partition: record.Partition, Offset: record.Offset, At: record.Timestamp}
	var body Body
	if err := json.Unmarshal(record.Value, &body); err != nil {
		return d, fmt.Errorf("record %d/%d: %w", record.Partition, record.Offset, err)
	}
	d.N = body.N
	for _, h := range record.Headers {
		if h.Key != "event_id" {
			continue
		}
		id, err := uuid.ParseBytes(h.Value)
		if err != nil {
			return d, fmt.Errorf("record %d/%d: event_id: %w", record.Partition, record.Offset, err)
		}
		d.ID = id
	}
	return d, nil
}

func (r *Reader) add(batch []Delivery, err error) {
	if len(batch) == 0 && err == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, d := range batch {
		r.all = append(r.all, d)
		r.most[d.Key] = max(r.most[d.Key], d.N)
		r.seen[d.ID] = struct{}{}
	}
	if r.err == nil {
		r.err = err
	}
	close(r.moved)
	r.moved = make(chan struct{})
}

// All gives every record so far, and what could not be read.
func (r *Reader) All(context.Context) ([]Delivery, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.all), r.err
}

// Len is the number of records so far, and of different events among them.
func (r *Reader) Len(context.Context) (records, events int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.all), len(r.seen)
}

// Await waits until each key has come to the given N.
func (r *Reader) Await(ctx context.Context, want map[string]int) error {
	want = maps.Clone(want)
	for {
		r.mu.Lock()
		maps.DeleteFunc(want, func(key string, n int) bool { return r.most[key] >= n })
		moved := r.moved
		r.mu.Unlock()
		if len(want) == 0 {
			return nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			behind := slices.Sorted(maps.Keys(want))
			return fmt.Errorf("%d keys wait, such as %s for its event %d: %w", len(behind), behind[0], want[behind[0]], context.Cause(ctx))
		}
	}
}

// Close stops reading.
func (r *Reader) Close() {
	r.client.Close()
	<-r.done
}
