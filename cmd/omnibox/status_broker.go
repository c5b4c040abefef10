package main

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/omnibox-go/omnibox/broker/kafka"
	"github.com/omnibox-go/omnibox/worker/config"
)

const (
	// waitedLong is the lag from which the broker may be what events wait for.
	waitedLong = 15 * time.Second
	// brokerTimeout is how long status waits for a broker.
	brokerTimeout = 3 * time.Second
)

// brokerTrouble asks the broker of an outbox that does not get on whether it
// answers.
func brokerTrouble(ctx context.Context, cfg *config.Config, one standing) error {
	b, known := cfg.Brokers[one.cfg.Broker]
	if !known || one.Paused != nil || one.Lag < waitedLong {
		return nil
	}
	p, err := kafka.Dial(b.Kafka(), slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	defer p.Close() //nolint:errcheck // nothing was sent
	ctx, cancel := context.WithTimeoutCause(ctx, brokerTimeout, fmt.Errorf("no answer within %s", brokerTimeout))
	defer cancel()
	return p.Probe(ctx)
}
