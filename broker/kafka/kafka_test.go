package kafka_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/omnibox-go/omnibox/broker"
	"github.com/omnibox-go/omnibox/broker/brokertest"
	"github.com/omnibox-go/omnibox/broker/kafka"
	"github.com/omnibox-go/omnibox/dev/devtest"
	"github.com/omnibox-go/omnibox/dev/servers"
)

func TestMain(m *testing.M) { devtest.Main(m) }

// fake is an in-process Kafka that fails on request.
type fake struct {
	*servers.Kfake
	t        *testing.T
	down     atomic.Bool
	mu       sync.Mutex
	produces []*kmsg.ProduceRequest
	answer   func(n int, req *kmsg.ProduceRequest) kerror
	used     map[string][]byte // records by partition, producer and sequence
}

// kerror is a code to answer a produce request with; none lets it pass, drop
// closes the connection.
type kerror int16

const (
	pass kerror = 0
	drop kerror = -2
)

var refuseMe = []byte("refuse me")

func startFake(t *testing.T, opts ...kfake.Opt) *fake {
	t.Helper()
	f := &fake{t: t, used: make(map[string][]byte), Kfake: devtest.StartKfake(t, servers.KfakeOptions{Topics: map[string]int32{"t": 3}, Options: opts})}
	f.Control(func(req kmsg.Request) (kmsg.Response, error, bool) {
		f.KeepControl()
		if f.down.Load() {
			return nil, errors.New("down"), true
		}
		if p, ok := req.(*kmsg.ProduceRequest); ok {
			return f.produce(p)
		}
		return nil, nil, false
	})
	return f
}

//nolint:revive // the order of results is kfake's
func (f *fake) produce(req *kmsg.ProduceRequest) (kmsg.Response, error, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.produces = append(f.produces, req)
	code := pass
	if f.answer != nil {
		code = f.answer(len(f.produces), req)
	}
	if code == drop || code == pass || code == kerror(sarama.ErrUnknown) { // a broken broker may have appended it
		f.spend(req)
	}
	if code == drop {
		return nil, errors.New("dropped"), true
	}
	poisoned := bytes.Contains(req.AppendTo(nil), refuseMe)
	if code == pass && !poisoned {
		return nil, nil, false
	}
	resp := req.ResponseKind().(*kmsg.ProduceResponse)
	for _, t := range req.Topics {
		rt := kmsg.NewProduceResponseTopic()
		rt.Topic = t.Topic
		for _, p := range t.Partitions {
			rp := kmsg.NewProduceResponseTopicPartition()
			rp.Partition, rp.ErrorCode = p.Partition, int16(code)
			if bytes.Contains(p.Records, refuseMe) {
				rp.ErrorCode = int16(sarama.ErrInvalidRecord)
			} else if poisoned { // kfake cannot append a part of a request
				rp.ErrorCode = int16(sarama.ErrNotLeaderForPartition)
			}
			rt.Partitions = append(rt.Partitions, rp)
		}
		resp.Topics = append(resp.Topics, rt)
	}
	return resp, nil, true
}

// spend sees to it that a sequence of which the publisher cannot know that it is
// free is not used for anything else: a broker would call that a repetition, and
// the records would be lost.
func (f *fake) spend(req *kmsg.ProduceRequest) {
	for _, t := range req.Topics {
		for _, p := range t.Partitions {
			if bytes.Contains(req.AppendTo(nil), refuseMe) {
				continue
			}
			b := kmsg.NewRecordBatch()
			_ = b.ReadFrom(p.Records)
			key := fmt.Sprint(t.Topic, p.Partition, b.ProducerID, b.ProducerEpoch, b.FirstSequence)
			if before, ok := f.used[key]; ok && !bytes.Equal(before, b.Records) {
				f.t.Errorf("sequence %d of producer %d was used twice", b.FirstSequence, b.ProducerID)
			}
			f.used[key] = b.Records
		}
	}
}

func dial(t *testing.T, cfg kafka.Config, brokers ...string) *kafka.Publisher {
	t.Helper()
	cfg.Addresses = brokers
	p, err := kafka.Dial(cfg, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, p.Close()) })
	return p
}

// read gives every record of a topic.
func read(t *testing.T, topic string, brokers ...string) []broker.Record {
	t.Helper()
	client, err := sarama.NewClient(brokers, sarama.NewConfig())
	require.NoError(t, err)
	defer func() { require.NoError(t, client.Close()) }()
	consumer, err := sarama.NewConsumerFromClient(client)
	require.NoError(t, err)
	defer func() { require.NoError(t, consumer.Close()) }()
	parts, err := client.Partitions(topic)
	require.NoError(t, err)
	var out []broker.Record
	for _, id := range parts {
		var end int64
		require.Eventually(t, func() bool { // a new topic's leader may not know it yet
			end, err = client.GetOffset(topic, id, sarama.OffsetNewest)
			return err == nil
		}, time.Minute, 50*time.Millisecond)
		if end == 0 {
			continue
		}
		pc, err := consumer.ConsumePartition(topic, id, sarama.OffsetOldest)
		require.NoError(t, err)
		timeout := time.NewTimer(time.Minute)
		for next := int64(0); next < end; {
			select {
			case m := <-pc.Messages():
				r := broker.Record{Topic: topic, Key: m.Key, Value: m.Value}
				for _, h := range m.Headers {
					r.Headers = append(r.Headers, broker.Header{Key: string(h.Key), Value: h.Value})
				}
				out = append(out, r)
				next = m.Offset + 1
			case <-timeout.C:
				require.FailNow(t, "topic could not be read", "partition %d at %d of %d", id, next, end)
			}
		}
		timeout.Stop()
		require.NoError(t, pc.Close())
	}
	return out
}

func record(topic, key string, value any) broker.Record {
	return broker.Record{Topic: topic, Key: []byte(key), Value: fmt.Append(nil, value)}
}

func TestKeepsThePromisesOfAPublisher(t *testing.T) {
	t.Parallel()
	brokertest.Run(t, func(t *testing.T) brokertest.Features {
		t.Helper()
		f := startFake(t)
		p, err := kafka.Dial(kafka.Config{Addresses: f.Brokers()}, slog.New(slog.DiscardHandler))
		require.NoError(t, err)
		return brokertest.Features{
			Publisher: p, Topic: "t",
			Read:    func(t *testing.T) []broker.Record { t.Helper(); return read(t, "t", f.Brokers()...) },
			Refused: func(key string) broker.Record { return record("t", key, string(refuseMe)) },
			SetDown: func(_ *testing.T, down bool) { f.down.Store(down) },
		}
	})
}

var topics atomic.Int64

// createTopic makes a topic with a name of its own.
func createTopic(tb testing.TB, partitions int32, properties map[string]*string, brokers ...string) string {
	tb.Helper()
	admin, err := sarama.NewClusterAdmin(brokers, sarama.NewConfig())
	require.NoError(tb, err)
	defer func() { require.NoError(tb, admin.Close()) }()
	name := fmt.Sprintf("test-%d-%d", time.Now().UnixNano(), topics.Add(1))
	require.NoError(tb, admin.CreateTopic(name, &sarama.TopicDetail{NumPartitions: partitions, ReplicationFactor: 1, ConfigEntries: properties}, false))
	return name
}
