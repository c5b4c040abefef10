package worker

import (
	"log/slog"

	"github.com/omnibox-go/omnibox/broker"
	"github.com/omnibox-go/omnibox/broker/kafka"
	"github.com/omnibox-go/omnibox/worker/config"
)

// newPublisher makes the publisher of a configured broker, without dialling.
func newPublisher(b config.Broker, log *slog.Logger) (broker.Publisher, error) {
	return kafka.Dial(KafkaConfig(b), log)
}

// newConsumer makes a consumer of a configured broker, without dialling.
func newConsumer(b config.Broker, sub broker.Subscription, log *slog.Logger) (broker.Consumer, error) {
	return kafka.NewConsumer(KafkaConfig(b), sub, log)
}

// KafkaConfig is the adapter's configuration of a configured broker.
func KafkaConfig(b config.Broker) kafka.Config { return b.Kafka() }
