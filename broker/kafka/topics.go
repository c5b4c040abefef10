package kafka

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"strings"
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

// maxMessageBytes is that of a topic's settings, 0 if they have none.
func maxMessageBytes(settings map[string]string) int {
	n, _ := strconv.Atoi(settings[keyMaxMessageBytes])
	return n
}

// retention is that of a topic's settings, 0 if they have none. For ever is written as
// -1, or as more than anybody lives to see; and a topic that is only compacted keeps
// the last message of each key for ever, whatever else is written.
func retention(settings map[string]string) time.Duration {
	ms, err := strconv.ParseInt(settings[keyRetention], 10, 64)
	cleanup, told := settings[keyCleanup]
	switch {
	case told && !strings.Contains(cleanup, "delete"):
		return -1
	case err != nil:
		return 0
	case ms < 0 || ms > math.MaxInt64/int64(time.Millisecond):
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
		settings, err := p.cluster.settings(ctx, names, keyMaxMessageBytes, keyRetention, keyCleanup)
		if err != nil {
			return err
		}
		for _, m := range meta.Topics {
			info := TopicInfo{Name: m.Name, Partitions: len(m.Partitions), MaxMessageBytes: maxMessageBytes(settings[m.Name]), Retention: retention(settings[m.Name])}
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
