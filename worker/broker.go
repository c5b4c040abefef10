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

// KafkaConfig is the adapter's configuration of a configured broker.
func KafkaConfig(b config.Broker) kafka.Config {
	cfg := kafka.Config{Addresses: b.Addresses, ClientID: b.ClientID, Compression: b.Compression, Version: b.Version}
	if t := b.TLS; t != nil {
		cfg.TLS = &kafka.TLS{CAFile: t.CA, CertFile: t.Cert, KeyFile: t.Key, InsecureSkipVerify: t.Insecure}
	}
	if s := b.SASL; s != nil {
		cfg.SASL = &kafka.SASL{Mechanism: s.Mechanism, User: s.Username, Password: string(s.Password)}
	}
	return cfg
}
