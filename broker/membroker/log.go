package membroker

import (
	"errors"
	"hash/fnv"
	"slices"
	"time"

	"github.com/omnibox-go/omnibox/broker"
)

// topic is what was published to one.
type topic struct {
	records []broker.Record // in the order in which they were appended
	parts   [][]broker.Message
}

// CreateTopic makes a topic with some partitions. One that nobody created gets
// one partition when something is published to it; until then it does not exist
// for consumers.
func (b *Broker) CreateTopic(name string, partitions int) error {
	if partitions < 1 {
		return errors.New("a topic has one partition at least")
	}
	var err error
	b.change(func() {
		if b.topics[name] != nil {
			err = errors.New("topic exists already: " + name)
			return
		}
		b.topics[name] = &topic{parts: make([][]broker.Message, partitions)}
	})
	return err
}

// Append adds messages as they are, to the partitions that they name, which
// exist; offsets are filled in, and times unless they are set.
func (b *Broker) Append(messages ...broker.Message) {
	b.change(func() {
		for _, m := range messages {
			b.log(m.Topic).add(m)
		}
	})
}

// log gives a topic, which it makes if need be.
func (b *Broker) log(name string) *topic {
	t := b.topics[name]
	if t == nil {
		t = &topic{parts: make([][]broker.Message, 1)}
		b.topics[name] = t
	}
	return t
}

// publish adds a record to the partition of its key; without a key, to the first.
func (t *topic) publish(r broker.Record) {
	id := int32(0)
	if r.Key != nil {
		h := fnv.New32a()
		_, _ = h.Write(r.Key)
		id = int32(h.Sum32() % uint32(len(t.parts)))
	}
	t.add(broker.Message{Topic: r.Topic, Partition: id, Key: r.Key, Value: r.Value, Headers: r.Headers})
}

func (t *topic) add(m broker.Message) {
	r := clone(broker.Record{Topic: m.Topic, Key: m.Key, Value: m.Value, Headers: m.Headers})
	t.records = append(t.records, r)
	m.Key, m.Value, m.Headers = r.Key, r.Value, r.Headers
	m.Offset = int64(len(t.parts[m.Partition]))
	if m.Time.IsZero() {
		m.Time = time.Now().Truncate(time.Millisecond)
	}
	t.parts[m.Partition] = append(t.parts[m.Partition], m)
}

// from gives at most n messages of a partition, from an offset on.
func (t *topic) from(id int32, offset int64, n int) []broker.Message {
	rest := t.parts[id][min(offset, int64(len(t.parts[id]))):]
	return slices.Clone(rest[:min(n, len(rest))])
}
