package e2e

import (
	"context"
	"crypto/rand"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/omnibox-go/omnibox/broker"
	"github.com/omnibox-go/omnibox/dev/devtest"
)

// newTopic creates a topic of one partition in the shared Kafka, real or not.
func newTopic(t *testing.T) string {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(devtest.Brokers(t)...))
	require.NoError(t, err)
	defer client.Close()
	name := "e2e-" + strings.ToLower(rand.Text()[:12])
	createTopic(t, client, name)
	return name
}

func createTopic(t *testing.T, client *kgo.Client, name string) {
	t.Helper()
	req := kmsg.NewPtrCreateTopicsRequest()
	one := kmsg.NewCreateTopicsRequestTopic()
	one.Topic, one.NumPartitions, one.ReplicationFactor = name, 1, 1
	req.Topics = append(req.Topics, one)
	resp, err := req.RequestWith(t.Context(), client)
	require.NoError(t, err)
	require.Zero(t, resp.Topics[0].ErrorCode)
}

// readTopic is readFrom of the shared Kafka.
func readTopic(t *testing.T, topic string, n int) []string {
	t.Helper()
	return readFrom(t, topic, n, devtest.Brokers(t)...)
}

// readFrom reads a topic from its beginning until it has n different records and
// gives them as bed.records does.
func readFrom(t *testing.T, topic string, n int, brokers ...string) (all []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.ConsumeTopics(topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	require.NoError(t, err)
	defer client.Close()
	for len(firsts(all)) < n {
		fetches := client.PollFetches(ctx)
		require.NoError(t, ctx.Err(), "have %v", all)
		fetches.EachRecord(func(r *kgo.Record) {
			all = append(all, name(broker.Record{Key: r.Key, Value: r.Value}))
		})
	}
	return all
}
