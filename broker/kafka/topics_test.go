package kafka_test

import (
	"context"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/broker"
	"github.com/omnibox-go/omnibox/broker/kafka"
)

// A topic is deleted and made again with fewer partitions: what waits for those
// that are gone goes to those that are there, each key in order.
func TestTopicIsMadeAgainWithFewerPartitions(t *testing.T) {
	t.Parallel()
	f := startFake(t, kfake.SeedTopics(3, "shrinks"))
	p := dial(t, kafka.Config{}, f.Brokers()...)
	requireSent(t, p.Publish(t.Context(), series("shrinks", 60, 30)))
	require.NoError(t, f.DeleteTopic("shrinks"))
	require.NoError(t, f.CreateTopic("shrinks", 1, nil))
	want := series("shrinks", 90, 30)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	requireSent(t, p.Publish(ctx, want[:60]))
	requireSent(t, p.Publish(ctx, want[60:]))
	require.Equal(t, byKey(want), byKey(read(t, "shrinks", f.Brokers()...)))
}

func TestATopicClosedToUsIsNobodysFault(t *testing.T) {
	t.Parallel()
	f := startFake(t)
	f.answerWith(func(int, *kmsg.ProduceRequest) kerror { return kerror(sarama.ErrTopicAuthorizationFailed) })
	errs := dial(t, kafka.Config{}, f.Brokers()...).Publish(t.Context(), series("t", 4, 2))
	for i := range 2 {
		require.Equal(t, omnibox.ClassTransient, omnibox.ClassOf(errs[i]))
		require.ErrorIs(t, errs[i+2], omnibox.ErrNotSent)
	}
}

// trap: 37
func TestAMissingTopicDoesNotHoldOthersUp(t *testing.T) {
	t.Parallel()
	f := startFake(t)
	p := dial(t, kafka.Config{}, f.Brokers()...)
	call := []broker.Record{record("missing", "a", 1), record("t", "a", 1), record("missing", "a", 2), record("missing", "b", 1), record("no such name", "a", 1)}
	errs := p.Publish(t.Context(), call)
	require.Equal(t, omnibox.ClassTransient, omnibox.ClassOf(errs[0]))
	require.ErrorContains(t, errs[0], `topic "missing" does not exist: create it`)
	require.NoError(t, errs[1])
	require.ErrorIs(t, errs[2], omnibox.ErrNotSent)
	require.Equal(t, omnibox.ClassTransient, omnibox.ClassOf(errs[3]))
	require.Equal(t, omnibox.ClassPermanent, omnibox.ClassOf(errs[4]))
	require.Nil(t, f.TopicInfo("missing"), "nothing is created by asking")

	require.NoError(t, f.CreateTopic("missing", 1, nil))
	requireSent(t, p.Publish(t.Context(), call[2:4]))
}

func TestATopicThatIsJustBeingCreatedIsWaitedFor(t *testing.T) {
	t.Parallel()
	f := startFake(t)
	asked := make(chan struct{}, 100)
	f.ControlKey(int16(kmsg.Metadata), func(kmsg.Request) (kmsg.Response, error, bool) {
		f.KeepControl()
		asked <- struct{}{}
		return nil, nil, false
	})
	p := dial(t, kafka.Config{}, f.Brokers()...)
	result := make(chan []error, 1)
	go func() { result <- p.Publish(t.Context(), []broker.Record{record("new", "a", 1)}) }()
	<-asked
	<-asked // so it has heard once that there is no such topic
	require.NoError(t, f.CreateTopic("new", 1, nil))
	requireSent(t, <-result)
}

// trap: 37
func TestASilentBrokerIsNotAMissingTopic(t *testing.T) {
	t.Parallel()
	f := startFake(t)
	f.down.Store(true)
	p := dial(t, kafka.Config{}, f.Brokers()...)
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	errs := p.Publish(ctx, []broker.Record{record("missing", "a", 1), record("missing", "a", 2)})
	require.Equal(t, omnibox.ClassUnreachable, omnibox.ClassOf(errs[0]))
	require.ErrorContains(t, errs[0], "fetch metadata")
	require.ErrorIs(t, errs[1], omnibox.ErrNotSent)
}

func TestATopicThatIsDeletedAndCreatedAgain(t *testing.T) {
	t.Parallel()
	f := startFake(t)
	p := dial(t, kafka.Config{}, f.Brokers()...)
	requireSent(t, p.Publish(t.Context(), series("t", 10, 5)))
	require.NoError(t, f.DeleteTopic("t"))
	errs := p.Publish(t.Context(), []broker.Record{record("t", "a", 1)})
	require.Equal(t, omnibox.ClassTransient, omnibox.ClassOf(errs[0]))
	require.ErrorContains(t, errs[0], "does not exist")
	require.NoError(t, f.CreateTopic("t", 3, nil))
	requireSent(t, p.Publish(t.Context(), series("t", 10, 5)))
	require.Len(t, read(t, "t", f.Brokers()...), 10)
}

// A publisher that may write to a topic, but not read its limits, leaves them to
// the broker.
func TestLimitsThatWeMayNotKnow(t *testing.T) {
	t.Parallel()
	f := startFake(t)
	f.ControlKey(int16(kmsg.DescribeConfigs), func(req kmsg.Request) (kmsg.Response, error, bool) {
		f.KeepControl()
		resp := req.ResponseKind().(*kmsg.DescribeConfigsResponse)
		for _, r := range req.(*kmsg.DescribeConfigsRequest).Resources {
			denied := kmsg.NewDescribeConfigsResponseResource()
			denied.ResourceType, denied.ResourceName = r.ResourceType, r.ResourceName
			denied.ErrorCode = int16(sarama.ErrTopicAuthorizationFailed)
			resp.Resources = append(resp.Resources, denied)
		}
		return resp, nil, true
	})
	p := dial(t, kafka.Config{}, f.Brokers()...)
	call := series("t", 6, 2)
	call[2].Value = append(make([]byte, 2<<20), refuseMe...) // alone, since it fits no batch of Kafka's default size
	errs := p.Publish(t.Context(), call)
	require.Equal(t, omnibox.ClassPermanent, omnibox.ClassOf(errs[2]), "%v", errs[2])
	require.ErrorIs(t, errs[4], omnibox.ErrNotSent)
	requireSent(t, []error{errs[0], errs[1], errs[3], errs[5]})
	require.Contains(t, f.requests(), 1)
}

func TestCheckTopics(t *testing.T) {
	t.Parallel()
	f := startFake(t)
	const week = "604800000"
	require.NoError(t, f.CreateTopic("compacted", 3, map[string]string{"retention.ms": week, "cleanup.policy": "compact"}))
	require.NoError(t, f.CreateTopic("both", 3, map[string]string{"retention.ms": week, "cleanup.policy": "compact,delete"}))
	p := dial(t, kafka.Config{}, f.Brokers()...)
	infos, err := p.CheckTopics(t.Context(), "t", "missing", "compacted", "both")
	require.NoError(t, err)
	require.Len(t, infos, 4)
	for _, info := range infos {
		switch info.Name {
		case "missing":
			require.ErrorContains(t, info.Err, "create it")
			continue
		case "compacted":
			require.Negative(t, info.Retention, "the last message of each key is there for ever")
			continue
		case "both":
			require.Equal(t, 7*24*time.Hour, info.Retention)
		}
		require.NoError(t, info.Err)
		require.Equal(t, 3, info.Partitions)
		require.Positive(t, info.MaxMessageBytes)
		require.Positive(t, info.Retention)
	}
	f.down.Store(true)
	_, err = p.CheckTopics(t.Context(), "t")
	require.Equal(t, omnibox.ClassUnreachable, omnibox.ClassOf(err))
}
