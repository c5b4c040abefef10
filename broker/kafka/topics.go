package kafka

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/IBM/sarama"

	"github.com/omnibox-go/omnibox"
)

// TopicInfo is what a topic is like. Err says why nothing is known of it.
type TopicInfo struct {
	Name       string
	Partitions int
	// MaxMessageBytes bounds a batch, and so a record; 0 if we may not know it.
	MaxMessageBytes int
	// Retention is how long messages are kept; below zero for ever, 0 if we may
	// not know it.
	Retention time.Duration
	Err       error
}

// retention of so many milliseconds; for ever is written as -1, or as more than
// anybody lives to see.
func retention(ms int64) time.Duration {
	if ms < 0 || ms > math.MaxInt64/int64(time.Millisecond) {
		return -1
	}
	return time.Duration(ms) * time.Millisecond
}

// CheckTopics looks topics up, without creating any. It blocks until the
// cluster has answered, at the latest until ctx ends.
func (p *Publisher) CheckTopics(ctx context.Context, names ...string) ([]TopicInfo, error) {
	var out []TopicInfo
	err := p.question(ctx, func() error {
		meta, err := p.cluster.metadata(ctx, names)
		if err != nil {
			return err
		}
		settings, err := p.cluster.settings(ctx, names, keyMaxMessageBytes, keyRetention)
		if err != nil {
			return err
		}
		for _, m := range meta.Topics {
			info := TopicInfo{Name: m.Name, Partitions: len(m.Partitions), MaxMessageBytes: int(settings[m.Name][keyMaxMessageBytes]), Retention: retention(settings[m.Name][keyRetention])}
			if m.Err == sarama.ErrUnknownTopicOrPartition {
				info.Err = missing(m.Name, "its name")
			} else if m.Err != sarama.ErrNoError {
				_, class := judge(m.Err)
				info.Err = fault(class, fmt.Errorf("topic %q: %w", m.Name, m.Err))
			}
			out = append(out, info)
		}
		return nil
	})
	if err != nil {
		return nil, omnibox.Unreachable(fmt.Errorf("check topics: %w", err))
	}
	return out, nil
}
