package kafka_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/broker"
	"github.com/omnibox-go/omnibox/broker/kafka"
	"github.com/omnibox-go/omnibox/dev/devtest"
)

// series makes n records over so many keys.
func series(topic string, n, keys int) []broker.Record {
	out := make([]broker.Record, n)
	for i := range out {
		out[i] = record(topic, fmt.Sprint("k", i%keys), i)
	}
	return out
}

func byKey(records []broker.Record) map[string][]string {
	out := make(map[string][]string)
	for _, r := range records {
		out[string(r.Key)] = append(out[string(r.Key)], string(r.Value))
	}
	return out
}

func requireSent(t *testing.T, errs []error) {
	t.Helper()
	for i, err := range errs {
		require.NoError(t, err, "record %d", i)
	}
}

// requests gives the sizes of the batches that were sent, and forgets them.
func (f *fake) requests() (records []int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, req := range f.produces {
		for _, t := range req.Topics {
			for _, p := range t.Partitions {
				b := kmsg.NewRecordBatch()
				_ = b.ReadFrom(p.Records)
				records = append(records, int(b.NumRecords))
			}
		}
	}
	f.produces = nil
	return records
}

func (f *fake) answerWith(answer func(n int, req *kmsg.ProduceRequest) kerror) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answer = answer
}

func TestErrorsThatPassAreWaitedFor(t *testing.T) {
	t.Parallel()
	for _, code := range []sarama.KError{
		sarama.ErrNotLeaderForPartition, sarama.ErrUnknownTopicOrPartition, sarama.ErrNotEnoughReplicas,
		sarama.ErrRequestTimedOut, sarama.ErrOutOfOrderSequenceNumber, sarama.ErrUnknownProducerID,
		sarama.ErrInvalidProducerEpoch, sarama.ErrClusterAuthorizationFailed, -2, // connection closed
	} {
		t.Run(code.Error(), func(t *testing.T) {
			t.Parallel()
			f := startFake(t)
			f.answerWith(func(n int, _ *kmsg.ProduceRequest) kerror {
				if n == 2 || n == 3 {
					return kerror(code)
				}
				return pass
			})
			p := dial(t, kafka.Config{}, f.Brokers()...)
			want := series("t", 100, 7)
			requireSent(t, p.Publish(t.Context(), want[:50]))
			requireSent(t, p.Publish(t.Context(), want[50:]))
			require.Equal(t, byKey(want), byKey(read(t, "t", f.Brokers()...)))
		})
	}
}

func TestADuplicateSequenceIsSuccess(t *testing.T) {
	t.Parallel()
	f := startFake(t)
	f.answerWith(func(int, *kmsg.ProduceRequest) kerror { return kerror(sarama.ErrDuplicateSequenceNumber) })
	requireSent(t, dial(t, kafka.Config{}, f.Brokers()...).Publish(t.Context(), series("t", 10, 3)))
}

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

// A resend must be what was sent before, under the same sequence: only then
// does the broker recognize it.
func TestAResendIsIdentical(t *testing.T) {
	t.Parallel()
	f := startFake(t)
	f.answerWith(func(n int, _ *kmsg.ProduceRequest) kerror {
		if n <= 3 {
			return drop
		}
		return pass
	})
	p := dial(t, kafka.Config{}, f.Brokers()...)
	requireSent(t, p.Publish(t.Context(), series("t", 10, 1)))
	f.mu.Lock()
	defer f.mu.Unlock()
	require.Len(t, f.produces, 4)
	for _, req := range f.produces {
		require.Equal(t, f.produces[0].Topics[0].Partitions[0].Records, req.Topics[0].Partitions[0].Records)
	}
}

// Records have the time at which they are sent: if our clock is wrong, no event is
// to blame, and none is counted or dead.
func TestAWrongClockIsNoFaultOfEvents(t *testing.T) {
	t.Parallel()
	f := startFake(t)
	f.answerWith(func(int, *kmsg.ProduceRequest) kerror { return kerror(sarama.ErrInvalidTimestamp) })
	p := dial(t, kafka.Config{}, f.Brokers()...)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	for _, err := range p.Publish(ctx, series("t", 3, 3)) {
		require.Equal(t, omnibox.ClassUnreachable, omnibox.ClassOf(err))
		require.ErrorIs(t, err, sarama.ErrInvalidTimestamp)
	}
	f.answerWith(nil)
	requireSent(t, p.Publish(t.Context(), series("t", 3, 3)))
}

// trap: 4
func TestARefusedBatchIsSentOneByOneAndThenCarefully(t *testing.T) {
	t.Parallel()
	f := startFake(t, kfake.SeedTopics(1, "one"))
	p := dial(t, kafka.Config{}, f.Brokers()...)
	call := series("one", 6, 2)
	call[2].Value = refuseMe // of key k0, whose last is call[4]
	errs := p.Publish(t.Context(), call)
	require.Equal(t, omnibox.ClassPermanent, omnibox.ClassOf(errs[2]))
	require.ErrorIs(t, errs[4], omnibox.ErrNotSent)
	requireSent(t, []error{errs[0], errs[1], errs[3], errs[5]})
	require.Equal(t, []int{6, 1, 1, 1, 1, 1}, f.requests())

	requireSent(t, p.Publish(t.Context(), series("one", 6, 2)))
	require.Equal(t, []int{2, 4}, f.requests(), "one record a key until a batch went through")
	requireSent(t, p.Publish(t.Context(), series("one", 6, 2)))
	require.Equal(t, []int{6}, f.requests())
}

// trap: 4
func TestARefusedBatchKeepsItsPlaceBeforeTheNext(t *testing.T) {
	t.Parallel()
	f := startFake(t)
	require.NoError(t, f.CreateTopic("small", 1, map[string]string{"max.message.bytes": "1000"}))
	p := dial(t, kafka.Config{}, f.Brokers()...)
	call := series("small", 300, 3) // several batches, of large and small records
	for i := range call {
		call[i].Value = append(call[i].Value, strings.Repeat(" ", i%5*100)...)
	}
	call[5].Value = refuseMe // of key k2
	errs := p.Publish(t.Context(), call)
	want := slices.Clone(call[:5])
	for i, err := range errs[6:] {
		if (i+6)%3 == 2 {
			require.ErrorIs(t, err, omnibox.ErrNotSent)
			continue
		}
		require.NoError(t, err)
		want = append(want, call[i+6])
	}
	require.Equal(t, byKey(want), byKey(read(t, "small", f.Brokers()...)))
}

// trap: 36
func TestWhatWasGivenUpIsNotSentLater(t *testing.T) {
	t.Parallel()
	f := startFake(t, kfake.SeedTopics(1, "one"))
	p := dial(t, kafka.Config{}, f.Brokers()...)
	requireSent(t, p.Publish(t.Context(), []broker.Record{record("one", "a", 0)}))
	var lost atomic.Bool
	lost.Store(true)
	f.answerWith(func(int, *kmsg.ProduceRequest) kerror {
		if lost.Load() {
			return drop // whether it arrived the publisher cannot know
		}
		return pass
	})
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	errs := p.Publish(ctx, []broker.Record{record("one", "a", 1)})
	require.Equal(t, omnibox.ClassUnreachable, omnibox.ClassOf(errs[0]))
	require.ErrorContains(t, errs[0], "may have arrived")
	lost.Store(false)
	requireSent(t, p.Publish(t.Context(), []broker.Record{record("one", "a", 2)})) // under a sequence that is free
	require.Equal(t, map[string][]string{"a": {"0", "2"}}, byKey(read(t, "one", f.Brokers()...)))
}

func TestAnUnknownServerErrorKillsNobody(t *testing.T) {
	t.Parallel()
	f := startFake(t)
	f.answerWith(func(int, *kmsg.ProduceRequest) kerror { return kerror(sarama.ErrUnknown) })
	errs := dial(t, kafka.Config{}, f.Brokers()...).Publish(t.Context(), series("t", 4, 2))
	require.Equal(t, omnibox.ClassTransient, omnibox.ClassOf(errs[0]))
	require.Equal(t, omnibox.ClassTransient, omnibox.ClassOf(errs[1]))
	require.ErrorIs(t, errs[2], omnibox.ErrNotSent)
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

func TestACancelledCallBlamesNobody(t *testing.T) {
	t.Parallel()
	f := startFake(t)
	f.down.Store(true)
	p := dial(t, kafka.Config{}, f.Brokers()...)
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan []error, 1)
	go func() { result <- p.Publish(ctx, series("t", 4, 2)) }()
	cancel()
	for _, err := range <-result {
		require.Equal(t, omnibox.ClassCancelled, omnibox.ClassOf(err), "%v", err)
	}
}

func TestLeadersThatMove(t *testing.T) {
	t.Parallel()
	ports := make([]int, 3)
	f := startFake(t, kfake.NumBrokers(len(ports)), kfake.Ports(ports...))
	p := dial(t, kafka.Config{}, f.Brokers()...)
	var want []broker.Record
	for n := range 20 {
		call := series("t", 30, 5)
		for i := range call {
			call[i].Value = fmt.Append(nil, n*100+i)
		}
		requireSent(t, p.Publish(t.Context(), call))
		want = append(want, call...)
		f.ShufflePartitionLeaders()
	}
	require.Equal(t, byKey(want), byKey(read(t, "t", f.Brokers()...)))
}

func TestCompression(t *testing.T) {
	t.Parallel()
	for _, codec := range []string{"none", "gzip", "snappy", "lz4", "zstd"} {
		t.Run(codec, func(t *testing.T) {
			t.Parallel()
			brokers := devtest.Brokers(t)
			topic := createTopic(t, 1, nil, brokers...)
			want := series(topic, 50, 5)
			for i := range want {
				want[i].Value = fmt.Append(nil, strings.Repeat("compressible", 100), i)
			}
			requireSent(t, dial(t, kafka.Config{Compression: codec}, brokers...).Publish(t.Context(), want))
			require.Equal(t, byKey(want), byKey(read(t, topic, brokers...)))
		})
	}
}

func TestOlderProtocols(t *testing.T) {
	t.Parallel()
	for _, version := range []string{"2.1.0", "2.4.0", "3.0.0"} {
		f := startFake(t)
		p := dial(t, kafka.Config{Version: version}, f.Brokers()...)
		requireSent(t, p.Publish(t.Context(), series("t", 10, 5)))
		require.NoError(t, p.Probe(t.Context()))
	}
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
	p := dial(t, kafka.Config{}, f.Brokers()...)
	infos, err := p.CheckTopics(t.Context(), "t", "missing")
	require.NoError(t, err)
	require.Len(t, infos, 2)
	for _, info := range infos {
		if info.Name == "missing" {
			require.ErrorContains(t, info.Err, "create it")
			continue
		}
		require.NoError(t, info.Err)
		require.Equal(t, 3, info.Partitions)
		require.Positive(t, info.MaxMessageBytes)
	}
	f.down.Store(true)
	_, err = p.CheckTopics(t.Context(), "t")
	require.Equal(t, omnibox.ClassUnreachable, omnibox.ClassOf(err))
}
