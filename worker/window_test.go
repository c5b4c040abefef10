package worker

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/omnibox-go/omnibox/broker/kafka"
	"github.com/omnibox-go/omnibox/worker/config"
)

// trap: 25
func TestTopicsThatOutliveTheDedupWindow(t *testing.T) {
	t.Parallel()
	const window = 14 * 24 * time.Hour
	b := config.Box{Name: "billing", Inbox: &config.Inbox{DedupWindow: window}}
	for name, tt := range map[string]struct {
		topic kafka.TopicInfo
		says  string
	}{
		"shorter":     {kafka.TopicInfo{Retention: window / 2}, ""},
		"as long":     {kafka.TopicInfo{Retention: window}, ""},
		"longer":      {kafka.TopicInfo{Name: "orders", Retention: 2 * window}, "topic orders keeps messages for 672h0m0s, and inboxes.billing.dedup_window is 336h0m0s"},
		"for ever":    {kafka.TopicInfo{Name: "orders", Retention: -1}, "topic orders keeps messages for ever"},
		"not allowed": {kafka.TopicInfo{}, ""},
		"missing":     {kafka.TopicInfo{Retention: -1, Err: errors.New("missing")}, ""},
	} {
		got := WindowProblem(b, tt.topic)
		if tt.says == "" {
			require.Empty(t, got, name)
			continue
		}
		require.Contains(t, got, tt.says, name)
	}
}
