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

func TestAPoolThatHandlersWouldUseUpIsRefused(t *testing.T) {
	t.Parallel()
	for conns, ok := range map[string]bool{"9": false, "10": true, "": true} {
		url := "postgres://h/d"
		if conns != "" {
			url += "?pool_max_conns=" + conns
		}
		cfg, err := config.Parse("f", []byte("inboxes: {billing: {topics: [t], group: g, handler: {sql: select $1::jsonb}}}\nhttp: {listen: \"off\"}"),
			[]string{"OMNIBOX_DATABASE_URL=" + url, "OMNIBOX_KAFKA_BROKERS=127.0.0.1:1"})
		require.NoError(t, err)
		w, err := New(cfg)
		if ok {
			require.NoError(t, err, conns)
			w.Close()
			continue
		}
		require.ErrorContains(t, err, "databases.main.url: pool_max_conns is 9, but handlers of inboxes take up to 8", conns)
		require.ErrorContains(t, err, "make it at least 10")
	}
}
