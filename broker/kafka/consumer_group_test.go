package kafka_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/omnibox-go/omnibox/broker"
	"github.com/omnibox-go/omnibox/broker/kafka"
)

// patience bounds what should come, also on a busy machine.
const patience = time.Minute

// logged is what was logged.
type logged struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// worker is a consumer at work.
type worker struct {
	*kafka.Consumer
	log  *logged
	stop func()

	mu  sync.Mutex
	got []broker.Message
}

func (w *worker) all() []broker.Message {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]broker.Message(nil), w.got...)
}

// consume starts a consumer; handle may be nil.
func consume(t *testing.T, sub broker.Subscription, handle func(ctx context.Context, w *worker, poll []broker.Message) error, brokers ...string) *worker {
	t.Helper()
	return consumeBy(t, kafka.Config{Addresses: brokers}, sub, handle)
}

// consumeBy is consume with a configuration.
func consumeBy(t *testing.T, cfg kafka.Config, sub broker.Subscription, handle func(ctx context.Context, w *worker, poll []broker.Message) error) *worker {
	t.Helper()
	w := &worker{log: &logged{}}
	w.Consumer = newConsumer(t, cfg, sub, slog.New(slog.NewTextHandler(w.log, nil)))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- w.Run(ctx, func(ctx context.Context, poll []broker.Message) error {
			w.mu.Lock()
			w.got = append(w.got, poll...)
			w.mu.Unlock()
			if handle == nil {
				return nil
			}
			return handle(ctx, w, poll)
		})
	}()
	w.stop = sync.OnceFunc(func() {
		cancel()
		require.NoError(t, <-ended)
	})
	t.Cleanup(w.stop)
	return w
}

func until(t *testing.T, holds func() bool, w *worker) {
	t.Helper()
	for end := time.Now().Add(patience); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			require.FailNow(t, "waited in vain", "%d messages, %+v\n%s", len(w.all()), w.Status(), w.log)
		}
	}
}

func numbered(partition int32, n int) []broker.Message {
	var out []broker.Message
	for i := range n {
		out = append(out, broker.Message{Topic: "t", Partition: partition, Value: fmt.Append(nil, i)})
	}
	return out
}

// commitEach commits every poll.
func commitEach(ctx context.Context, w *worker, poll []broker.Message) error {
	done := make(map[broker.Partition]int64)
	for _, m := range poll {
		done[broker.Partition{Topic: m.Topic, ID: m.Partition}] = m.Offset
	}
	return w.Commit(ctx, done)
}

func TestMessagesThatRetentionTook(t *testing.T) {
	t.Parallel()
	f := startFake(t)
	sub := broker.Subscription{Group: "g", Topics: []string{"t"}}
	appendTo(t, numbered(0, 10), f.Brokers()...)
	w := consume(t, sub, commitEach, f.Brokers()...)
	until(t, func() bool { return len(w.all()) == 10 }, w)
	w.stop()
	appendTo(t, numbered(0, 20), f.Brokers()...)
	admin, err := sarama.NewClusterAdmin(f.Brokers(), sarama.NewConfig())
	require.NoError(t, err)
	defer func() { require.NoError(t, admin.Close()) }()
	require.NoError(t, admin.DeleteRecords("t", map[int32]int64{0: 17}))
	w = consume(t, sub, commitEach, f.Brokers()...)
	until(t, func() bool { return len(w.all()) == 13 }, w)
	require.Equal(t, int64(17), w.all()[0].Offset)
	require.Contains(t, w.log.String(), "level=WARN")
	require.Contains(t, w.log.String(), "committed=10 start=17 lost=7")
}

func TestATopicThatWasMadeAgainUnderItsGroup(t *testing.T) {
	t.Parallel()
	f := startFake(t)
	sub := broker.Subscription{Group: "g", Topics: []string{"t"}}
	appendTo(t, numbered(0, 10), f.Brokers()...)
	w := consume(t, sub, commitEach, f.Brokers()...)
	until(t, func() bool { return len(w.all()) == 10 }, w)
	w.stop()
	require.NoError(t, f.DeleteTopic("t"))
	require.NoError(t, f.CreateTopic("t", 3, nil))
	appendTo(t, numbered(0, 4), f.Brokers()...)
	w = consume(t, sub, commitEach, f.Brokers()...)
	until(t, func() bool { return len(w.all()) == 4 }, w)
	require.Equal(t, int64(0), w.all()[0].Offset)
	w.stop()
	w = consume(t, sub, nil, f.Brokers()...)
	until(t, func() bool { return len(w.Status().Assigned) == 3 }, w)
	require.Equal(t, int64(4), w.Status().Assigned[0].Committed, "commits count from then on")
}

// The member lives on, and had noted where the topic ended.
func TestATopicThatWasMadeAgainUnderAMemberThatBeganAtItsEnd(t *testing.T) {
	t.Parallel()
	f := startFake(t)
	appendTo(t, numbered(0, 10), f.Brokers()...)
	w := consume(t, broker.Subscription{Group: "g", Topics: []string{"t"}, From: broker.Latest}, commitEach, f.Brokers()...)
	first := func() broker.Assignment {
		if assigned := w.Status().Assigned; len(assigned) == 3 {
			return assigned[0]
		}
		return broker.Assignment{}
	}
	until(t, func() bool { return first().Committed == 10 }, w)
	require.NoError(t, f.DeleteTopic("t"))
	require.NoError(t, f.CreateTopic("t", 3, nil))
	appendTo(t, numbered(0, 2), f.Brokers()...)
	until(t, func() bool { return first().Position >= 0 && first().Position <= 2 && len(w.Status().Assigned) == 3 }, w)
	appendTo(t, numbered(0, 4), f.Brokers()...)
	until(t, func() bool { return first().Committed == 6 }, w)
}

// A group whose members know eager rebalances only is shared as they do it.
func TestAGroupThatAnotherProgramShares(t *testing.T) {
	t.Parallel()
	f := startFake(t)
	conf := sarama.NewConfig() // its strategy is range
	conf.Consumer.Offsets.Initial = sarama.OffsetOldest
	conf.Consumer.Group.Heartbeat.Interval = 200 * time.Millisecond
	theirs, err := sarama.NewConsumerGroup(f.Brokers(), "shared", conf)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	other := &plainLoop{size: 1 << 60}
	var wg sync.WaitGroup
	wg.Go(func() {
		for ctx.Err() == nil {
			_ = theirs.Consume(ctx, []string{"t"}, other)
		}
	})
	defer wg.Wait()
	defer func() { _ = theirs.Close() }()
	defer cancel()
	for id := range int32(3) {
		appendTo(t, numbered(id, 1), f.Brokers()...)
	}
	require.Eventually(t, func() bool { return other.n.Load() == 3 }, patience, 5*time.Millisecond)
	w := consume(t, broker.Subscription{Group: "shared", Topics: []string{"t"}}, commitEach, f.Brokers()...)
	until(t, func() bool { n := len(w.Status().Assigned); return n == 1 || n == 2 }, w)
	before := other.n.Load()
	for id := range int32(3) {
		appendTo(t, numbered(id, 1), f.Brokers()...)
	}
	until(t, func() bool { return len(w.all()) > 0 && other.n.Load() > before }, w)
	require.NoError(t, w.Status().Err)
}

func TestAGroupOfAnotherKind(t *testing.T) {
	t.Parallel()
	f := startFake(t)
	client, err := sarama.NewClient(f.Brokers(), sarama.NewConfig())
	require.NoError(t, err)
	defer func() { require.NoError(t, client.Close()) }()
	coordinator, err := client.Coordinator("connect-cluster")
	require.NoError(t, err)
	req := &sarama.JoinGroupRequest{Version: 1, GroupId: "connect-cluster", ProtocolType: "connect", SessionTimeout: 30_000, RebalanceTimeout: 30_000}
	req.AddGroupProtocol("sessioned", []byte{1})
	resp, err := coordinator.JoinGroup(req)
	require.NoError(t, err)
	require.Equal(t, sarama.ErrNoError, resp.Err)
	w := consume(t, broker.Subscription{Group: "connect-cluster", Topics: []string{"t"}}, nil, f.Brokers()...)
	until(t, func() bool { return w.Status().Err != nil }, w)
	require.ErrorContains(t, w.Status().Err, `consumer group "connect-cluster" is in use by a program with protocol type "connect"`)
	require.ErrorContains(t, w.Status().Err, "choose another group")
}

// The broker has given the member up while its handler is at work: what it
// commits is dropped, and it joins again.
func TestAMemberThatWasGivenUp(t *testing.T) {
	t.Parallel()
	f := startFake(t)
	var evicted, commits atomic.Bool
	for _, key := range []kmsg.Key{kmsg.Heartbeat, kmsg.OffsetCommit} {
		f.ControlKey(int16(key), func(req kmsg.Request) (kmsg.Response, error, bool) {
			f.KeepControl()
			if !evicted.Load() {
				return nil, nil, false
			}
			const unknownMember = 25
			if hb, ok := req.(*kmsg.HeartbeatRequest); ok {
				resp := hb.ResponseKind().(*kmsg.HeartbeatResponse)
				resp.ErrorCode = unknownMember
				return resp, nil, true
			}
			commits.Store(true)
			return refuseCommit(req, map[string]int16{"t": unknownMember}), nil, true
		})
	}
	appendTo(t, numbered(0, 5), f.Brokers()...)
	w := consume(t, broker.Subscription{Group: "g", Topics: []string{"t"}}, func(ctx context.Context, w *worker, poll []broker.Message) error {
		evicted.Store(!commits.Load()) // the first time
		err := commitEach(ctx, w, poll)
		evicted.Store(false)
		return err
	}, f.Brokers()...)
	until(t, func() bool { return len(w.all()) >= 10 }, w)
	until(t, func() bool {
		s := w.Status()
		return len(s.Assigned) == 3 && s.Assigned[0].Committed == 5
	}, w)
	require.True(t, commits.Load())
}

// A topic is deleted while a poll of it is in hand: its offsets can be committed
// nowhere, and that holds up no other topic.
func TestATopicThatIsDeletedWhileItsMessagesAreInHand(t *testing.T) {
	t.Parallel()
	f := startFake(t)
	require.NoError(t, f.CreateTopic("other", 1, nil))
	appendTo(t, numbered(0, 5), f.Brokers()...)
	deleted := sync.OnceFunc(func() { require.NoError(t, f.DeleteTopic("t")) })
	w := consume(t, broker.Subscription{Group: "g", Topics: []string{"t", "other"}}, func(ctx context.Context, w *worker, poll []broker.Message) error {
		deleted()
		return commitEach(ctx, w, poll)
	}, f.Brokers()...)
	until(t, func() bool { return len(w.all()) == 5 }, w)
	appendTo(t, []broker.Message{{Topic: "other", Value: []byte("x")}}, f.Brokers()...)
	until(t, func() bool {
		s := w.Status()
		return len(s.Assigned) == 1 && s.Assigned[0].Committed == 1
	}, w)
	require.Equal(t, "other", w.all()[len(w.all())-1].Topic)
}

// A right that is withdrawn while messages are in hand holds nobody else up, and its
// offsets are committed once it is back.
func TestOffsetsThatMayNotBeCommitted(t *testing.T) {
	t.Parallel()
	f := startFake(t)
	require.NoError(t, f.CreateTopic("other", 1, nil))
	var forbidden atomic.Bool
	forbidden.Store(true)
	f.ControlKey(int16(kmsg.OffsetCommit), func(req kmsg.Request) (kmsg.Response, error, bool) {
		f.KeepControl()
		for _, topic := range req.(*kmsg.OffsetCommitRequest).Topics {
			if topic.Topic == "t" && forbidden.Load() {
				const topicAuthorizationFailed = 29
				return refuseCommit(req, map[string]int16{"t": topicAuthorizationFailed}), nil, true
			}
		}
		return nil, nil, false
	})
	w := consume(t, broker.Subscription{Group: "g", Topics: []string{"t", "other"}}, commitEach, f.Brokers()...)
	committed := func(topic string) int64 {
		for _, a := range w.Status().Assigned {
			if a.Topic == topic && a.ID == 0 {
				return a.Committed
			}
		}
		return -2
	}
	appendTo(t, numbered(0, 5), f.Brokers()...)
	until(t, func() bool { return len(w.all()) == 5 && w.Status().Err != nil }, w)
	require.ErrorContains(t, w.Status().Err, "commit offsets, for want of which messages may come again: t/0: ")
	appendTo(t, []broker.Message{{Topic: "other", Value: []byte("x")}}, f.Brokers()...)
	until(t, func() bool { return committed("other") == 1 }, w)
	require.Less(t, committed("t"), int64(5))
	forbidden.Store(false)
	appendTo(t, numbered(0, 1), f.Brokers()...)
	until(t, func() bool { return committed("t") == 6 }, w)
}

// refuseCommit answers a commit with a code for each topic.
func refuseCommit(req kmsg.Request, codes map[string]int16) kmsg.Response {
	resp := req.ResponseKind().(*kmsg.OffsetCommitResponse)
	for _, t := range req.(*kmsg.OffsetCommitRequest).Topics {
		rt := kmsg.NewOffsetCommitResponseTopic()
		rt.Topic = t.Topic
		for _, p := range t.Partitions {
			rp := kmsg.NewOffsetCommitResponseTopicPartition()
			rp.Partition, rp.ErrorCode = p.Partition, codes[t.Topic]
			rt.Partitions = append(rt.Partitions, rp)
		}
		resp.Topics = append(resp.Topics, rt)
	}
	return resp
}

func TestConsumersAreCheckedBeforeTheyConnect(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		conf kafka.Config
		sub  broker.Subscription
		want string
	}{
		{kafka.Config{}, broker.Subscription{Group: "g", Topics: []string{"t"}}, "addresses: is required"},
		{kafka.Config{Addresses: []string{"x:1"}}, broker.Subscription{}, "group: is required"},
		{kafka.Config{Addresses: []string{"x:1"}}, broker.Subscription{Group: "g"}, "topics: is required"},
		{kafka.Config{Addresses: []string{"x:1"}}, broker.Subscription{Group: "g", Topics: []string{"t", "t"}}, `topics: "t" is there twice`},
		{kafka.Config{Addresses: []string{"x:1"}}, broker.Subscription{Group: "g", Topics: []string{"no such name"}}, "topics: invalid topic name"},
		{kafka.Config{Addresses: []string{"x:1"}}, broker.Subscription{Group: "g", Topics: []string{"t"}, From: "yesterday", MaxPoll: -1}, `from: "yesterday" is not one of earliest, latest`},
	} {
		_, err := kafka.NewConsumer(c.conf, c.sub, slog.New(slog.DiscardHandler))
		require.ErrorContains(t, err, c.want)
	}
}
