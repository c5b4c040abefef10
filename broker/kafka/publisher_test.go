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

// Nor does it tell whether the records are in the log, so their sequence is used for
// no others.
//
// trap: 36
func TestAnUnknownServerErrorKillsNobody(t *testing.T) {
	t.Parallel()
	f := startFake(t)
	f.answerWith(func(int, *kmsg.ProduceRequest) kerror { return kerror(sarama.ErrUnknown) })
	p := dial(t, kafka.Config{}, f.Brokers()...)
	errs := p.Publish(t.Context(), series("t", 4, 2))
	require.Equal(t, omnibox.ClassTransient, omnibox.ClassOf(errs[0]))
	require.Equal(t, omnibox.ClassTransient, omnibox.ClassOf(errs[1]))
	require.ErrorIs(t, errs[2], omnibox.ErrNotSent)
	f.answerWith(nil)
	requireSent(t, p.Publish(t.Context(), series("t", 6, 2)))
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
