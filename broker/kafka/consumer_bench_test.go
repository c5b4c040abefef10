package kafka_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"

	"github.com/IBM/sarama"
	"github.com/stretchr/testify/require"

	"github.com/omnibox-go/omnibox/broker"
	"github.com/omnibox-go/omnibox/broker/kafka"
	"github.com/omnibox-go/omnibox/dev/devtest"
)

// BenchmarkConsume takes messages of 300 bytes from a real Kafka, beside a plain
// loop over sarama's consumer group; both commit now and then. Each round is a
// new group that reads all of the topic.
func BenchmarkConsume(b *testing.B) {
	brokers := devtest.Kafka(b).Brokers()
	const size = 200_000
	topic := createTopic(b, 8, nil, brokers...)
	var messages []broker.Message
	for i := range 10_000 {
		messages = append(messages, broker.Message{
			Topic: topic, Partition: int32(i % 8), Key: fmt.Appendf(nil, "k%d", i%1000), Value: bytes.Repeat([]byte("x"), 300),
			Headers: []broker.Header{{Key: "event_id", Value: bytes.Repeat([]byte("x"), 36)}, {Key: "event_type", Value: []byte("order.placed")}},
		})
	}
	for range size / len(messages) {
		appendTo(b, messages, brokers...)
	}
	var groups atomic.Int64
	rate := func(b *testing.B) {
		b.Helper()
		b.ReportMetric(float64(size)*float64(b.N)/b.Elapsed().Seconds(), "messages/s")
	}
	b.Run("omnibox", func(b *testing.B) {
		for b.Loop() {
			sub := broker.Subscription{Group: fmt.Sprint(topic, groups.Add(1)), Topics: []string{topic}}
			c, err := kafka.NewConsumer(kafka.Config{Addresses: brokers}, sub, slog.New(slog.DiscardHandler))
			require.NoError(b, err)
			ctx, cancel := context.WithCancel(b.Context())
			n, polls := 0, 0
			require.NoError(b, c.Run(ctx, func(ctx context.Context, poll []broker.Message) error {
				n += len(poll)
				polls++
				done := make(map[broker.Partition]int64)
				for _, m := range poll {
					done[broker.Partition{Topic: m.Topic, ID: m.Partition}] = m.Offset
				}
				if polls%10 == 0 {
					if err := c.Commit(ctx, done); err != nil {
						return err
					}
				}
				if n >= size {
					b.ReportMetric(float64(n)/float64(polls), "messages/poll")
					cancel()
				}
				return nil
			}))
		}
		rate(b)
	})
	b.Run("sarama", func(b *testing.B) {
		for b.Loop() {
			conf := sarama.NewConfig()
			conf.Consumer.Offsets.Initial, conf.Consumer.Offsets.AutoCommit.Enable = sarama.OffsetOldest, false
			group, err := sarama.NewConsumerGroup(brokers, fmt.Sprint(topic, groups.Add(1)), conf)
			require.NoError(b, err)
			ctx, cancel := context.WithCancel(b.Context())
			require.NoError(b, group.Consume(ctx, []string{topic}, &plainLoop{size: size, done: cancel}))
			require.NoError(b, group.Close())
		}
		rate(b)
	})
}

// plainLoop counts messages.
type plainLoop struct {
	size int64
	n    atomic.Int64
	done func()
}

func (*plainLoop) Setup(sarama.ConsumerGroupSession) error   { return nil }
func (*plainLoop) Cleanup(sarama.ConsumerGroupSession) error { return nil }

func (l *plainLoop) ConsumeClaim(s sarama.ConsumerGroupSession, c sarama.ConsumerGroupClaim) error {
	for m := range c.Messages() {
		s.MarkMessage(m, "")
		if n := l.n.Add(1); n%10_000 == 0 {
			s.Commit()
			if n >= l.size {
				l.done()
			}
		}
	}
	return nil
}
