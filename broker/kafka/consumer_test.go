package kafka_test

import (
	"log/slog"
	"testing"

	"github.com/IBM/sarama"
	"github.com/stretchr/testify/require"

	"github.com/omnibox-go/omnibox/broker"
	"github.com/omnibox-go/omnibox/broker/brokertest"
	"github.com/omnibox-go/omnibox/broker/kafka"
)

func TestKeepsThePromisesOfAConsumer(t *testing.T) {
	t.Parallel()
	brokertest.RunConsumers(t, func(t *testing.T) brokertest.ConsumerFeatures {
		t.Helper()
		f := startFake(t)
		features := consumerFeatures(t, f.Brokers()...)
		features.SetDown = func(_ *testing.T, down bool) { f.down.Store(down) }
		return features
	})
}

// consumerFeatures makes topics for the suite of consumers.
func consumerFeatures(t *testing.T, brokers ...string) brokertest.ConsumerFeatures {
	t.Helper()
	topic := createTopic(t, 3, limit("4000000"), brokers...)
	return brokertest.ConsumerFeatures{
		Topic: topic, Missing: topic + "-missing",
		Consumer: func(t *testing.T, sub broker.Subscription) broker.Consumer {
			t.Helper()
			return newConsumer(t, kafka.Config{Addresses: brokers}, sub, slog.New(slog.DiscardHandler))
		},
		Create: func(t *testing.T) {
			t.Helper()
			admin, err := sarama.NewClusterAdmin(brokers, sarama.NewConfig())
			require.NoError(t, err)
			require.NoError(t, admin.CreateTopic(topic+"-missing", &sarama.TopicDetail{NumPartitions: 1, ReplicationFactor: 1}, false))
			require.NoError(t, admin.Close())
		},
		Append: func(t *testing.T, messages ...broker.Message) { t.Helper(); appendTo(t, messages, brokers...) },
	}
}

func newConsumer(t *testing.T, cfg kafka.Config, sub broker.Subscription, log *slog.Logger) *kafka.Consumer {
	t.Helper()
	c, err := kafka.NewConsumer(cfg, sub, log)
	require.NoError(t, err)
	return c
}

// appendTo publishes messages to the partitions that they name.
func appendTo(t testing.TB, messages []broker.Message, brokers ...string) {
	t.Helper()
	conf := sarama.NewConfig()
	conf.Producer.Return.Successes = true
	conf.Producer.Partitioner = sarama.NewManualPartitioner
	conf.Producer.MaxMessageBytes = 4_000_000
	conf.Producer.RequiredAcks = sarama.WaitForAll
	conf.Net.MaxOpenRequests, conf.Producer.Idempotent = 1, true
	p, err := sarama.NewSyncProducer(brokers, conf)
	require.NoError(t, err)
	defer func() { require.NoError(t, p.Close()) }()
	records := make([]*sarama.ProducerMessage, len(messages))
	for i, m := range messages {
		r := &sarama.ProducerMessage{Topic: m.Topic, Partition: m.Partition}
		if m.Key != nil {
			r.Key = sarama.ByteEncoder(m.Key)
		}
		if m.Value != nil {
			r.Value = sarama.ByteEncoder(m.Value)
		}
		for _, h := range m.Headers {
			r.Headers = append(r.Headers, sarama.RecordHeader{Key: []byte(h.Key), Value: h.Value})
		}
		records[i] = r
	}
	require.NoError(t, p.SendMessages(records))
}
