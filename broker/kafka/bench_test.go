package kafka_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/IBM/sarama"
	"github.com/stretchr/testify/require"

	"github.com/omnibox-go/omnibox/broker"
	"github.com/omnibox-go/omnibox/broker/kafka"
	"github.com/omnibox-go/omnibox/dev/devtest"
)

// BenchmarkPublish sends calls of 500 records of 300 bytes over 1,000 keys to
// a real Kafka with acks=all, some calls at the same time, beside sarama's own
// idempotent producer.
func BenchmarkPublish(b *testing.B) {
	brokers := devtest.Kafka(b).Brokers()
	const size = 500
	payload := bytes.Repeat([]byte("x"), 300)
	for _, callers := range []int{1, 2, 4} {
		b.Run(fmt.Sprintf("omnibox/callers=%d", callers), func(b *testing.B) {
			topic := createTopic(b, 8, nil, brokers...)
			p, err := kafka.Dial(kafka.Config{Addresses: brokers}, slog.New(slog.DiscardHandler))
			require.NoError(b, err)
			defer func() { require.NoError(b, p.Close()) }()
			each(b, callers, func(caller int) {
				records := make([]broker.Record, size)
				for i := range records {
					records[i] = broker.Record{
						Topic: topic, Key: fmt.Appendf(nil, "k%d-%d", caller, i*1000/callers/size), Value: payload,
						Headers: []broker.Header{{Key: "event_id", Value: payload[:36]}, {Key: "event_type", Value: payload[:12]}},
					}
				}
				for _, err := range p.Publish(b.Context(), records) {
					if err != nil {
						b.Error(err)
					}
				}
			}, size)
		})
		b.Run(fmt.Sprintf("sarama/callers=%d", callers), func(b *testing.B) {
			topic := createTopic(b, 8, nil, brokers...)
			conf := sarama.NewConfig()
			conf.Producer.RequiredAcks, conf.Producer.Idempotent, conf.Net.MaxOpenRequests = sarama.WaitForAll, true, 1
			conf.Producer.Return.Successes = true
			p, err := sarama.NewSyncProducer(brokers, conf)
			require.NoError(b, err)
			defer func() { require.NoError(b, p.Close()) }()
			each(b, callers, func(caller int) {
				messages := make([]*sarama.ProducerMessage, size)
				for i := range messages {
					messages[i] = &sarama.ProducerMessage{
						Topic: topic, Key: sarama.StringEncoder(fmt.Sprintf("k%d-%d", caller, i*1000/callers/size)), Value: sarama.ByteEncoder(payload),
						Headers: []sarama.RecordHeader{{Key: []byte("event_id"), Value: payload[:36]}, {Key: []byte("event_type"), Value: payload[:12]}},
					}
				}
				if err := p.SendMessages(messages); err != nil {
					b.Error(err)
				}
			}, size)
		})
	}
}

// each runs b.N calls of size records from some goroutines.
func each(b *testing.B, callers int, call func(caller int), size int) {
	b.Helper()
	call(0) // the first one connects
	b.ResetTimer()
	var wg sync.WaitGroup
	var n atomic.Int64
	for caller := range callers {
		wg.Go(func() {
			for n.Add(1) <= int64(b.N) {
				call(caller)
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64(b.N*size)/b.Elapsed().Seconds(), "records/s")
}
