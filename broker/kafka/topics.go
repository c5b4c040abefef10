package kafka

import (
	"context"
	"fmt"

	"github.com/IBM/sarama"

	"github.com/omnibox-go/omnibox"
)

// TopicInfo is what a topic is like. Err says why nothing is known of it.
type TopicInfo struct {
	Name       string
	Partitions int
	// MaxMessageBytes bounds a batch, and so a record; 0 if we may not know it.
	MaxMessageBytes int
	Err             error
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
		limits, err := p.cluster.limits(ctx, names)
		if err != nil {
			return err
		}
		for _, m := range meta.Topics {
			info := TopicInfo{Name: m.Name, Partitions: len(m.Partitions), MaxMessageBytes: limits[m.Name]}
			if m.Err == sarama.ErrUnknownTopicOrPartition {
				info.Err = missing(m.Name)
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
