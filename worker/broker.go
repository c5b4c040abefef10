package worker

import (
	"log/slog"

	"github.com/omnibox-go/omnibox/broker"
	"github.com/omnibox-go/omnibox/broker/kafka"
	"github.com/omnibox-go/omnibox/worker/config"
)

// newPublisher makes the publisher of a configured broker, without dialling.
func newPublisher(b config.Broker, log *slog.Logger) (broker.Publisher, error) {
	return kafka.Dial(b.Kafka(), log)
}

// newConsumer makes a consumer of a configured broker, without dialling.
func newConsumer(b config.Broker, sub broker.Subscription, log *slog.Logger) (broker.Consumer, error) {
	return kafka.NewConsumer(b.Kafka(), sub, log)
}
