package main

import (
	"context"
	"fmt"
	"log/slog"
	"slices"

	"github.com/omnibox-go/omnibox/broker/kafka"
	"github.com/omnibox-go/omnibox/store"
	"github.com/omnibox-go/omnibox/worker"
	"github.com/omnibox-go/omnibox/worker/config"
)

// checkBroker asks a broker whether it answers and has the topics.
func checkBroker(ctx context.Context, name string, cfg config.Broker, topics []string, keyed []config.Box) []store.Check {
	mend := fmt.Sprintf("check brokers.%s: addresses, tls and sasl, and that the cluster answers from here", name)
	p, err := kafka.Dial(cfg.Kafka(), slog.New(slog.DiscardHandler))
	if err != nil {
		return []store.Check{failed("server", err, mend)}
	}
	defer p.Close() //nolint:errcheck // nothing was sent
	ctx, cancel := context.WithTimeoutCause(ctx, probeTimeout, fmt.Errorf("broker %s did not answer within %s", name, probeTimeout))
	defer cancel()
	if err := p.Probe(ctx); err != nil {
		return []store.Check{failed("server", err, mend)}
	}
	checks := []store.Check{{Name: "server", State: store.HealthOK, Found: list(cfg.Addresses) + " answers"}}
	if len(topics) == 0 {
		return checks
	}
	found, err := p.CheckTopics(ctx, topics...)
	if err != nil {
		return append(checks, failed("topics", err, mend))
	}
	for _, topic := range found {
		if topic.Err != nil {
			checks = append(checks, failed("topic "+topic.Name, topic.Err, "create the topic, or let the user describe it"))
			continue
		}
		for _, b := range keyed {
			if problem := worker.WindowProblem(b, topic); problem != "" && b.Broker == name && slices.Contains(b.Inbox.Topics, topic.Name) {
				checks = append(checks, store.Check{
					Name: "dedup window", State: store.HealthWarn, Found: problem, Mend: fmt.Sprintf("set %s.dedup_window above the topic's retention.ms", b.Path()),
				})
			}
		}
		size := "size limit not readable"
		if topic.MaxMessageBytes > 0 {
			size = fmt.Sprintf("messages up to %d bytes", topic.MaxMessageBytes)
		}
		checks = append(checks, store.Check{
			Name: "topic " + topic.Name, State: store.HealthOK, Found: count(topic.Partitions, "partition", "partitions") + ", " + size,
		})
	}
	return checks
}

// topicsOf are the topics that a pipeline names and has events for.
func topicsOf(ctx context.Context, s *store.Store, b config.Box) []string {
	if b.Inbox != nil {
		return b.Inbox.Topics
	}
	named := b.Outbox.Filter.Topics
	pending, err := s.Topics(ctx)
	if err != nil {
		return named // the checks of the database say why
	}
	if len(named) > 0 {
		return named
	}
	return pending
}
